"""Reading Caffe, the graph, its operators and passes, and the writers of every format."""
