"""The demitasse command, one file per subcommand, and no logic of its own."""
