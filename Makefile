# Two commands do everything on a fresh Debian with make, Python 3.10 to 3.13 and gcc:
#
#   make demo      set up, then compile the digits network and run it (touches nothing but this folder)
#   make test      set up, then the tests; as root this installs cross compilers, qemu and clang
#
#   make test-all  the tests with the long sweeps
#   make fuzz      new hostile inputs for the readers and the runtime, for FUZZ_SECONDS=120 of processor time
#   make host      build/host/{dmt_run,dmt_bench}
#   make rk3288    build/rk3288/{dmt_run,dmt_bench}, static, for the board or qemu-arm
#   make lib       the host library that Python loads
#   make lint      ruff, mypy and clang-format, nothing changed;  make format lets them change
#   make accuracy  what INT8 and INT16 keep of trained networks, beside another quantizer; some of
#                  them: NETS=lenet,cifar_full. It needs ../shared/models
#   make bench     time MODEL=net.demi on this machine
#   make bench-rk3288  model what the benchmark networks take on an RK3288, where `predict` is there,
#                  and write docs/rk3288-speed.md; some of them: NETS=mobilenet_v1,resnet18 PRECISIONS=int8
#   make protos    protos/caffe.desc from protos/caffe.proto
#   make oracle    record real Caffe's answers again (ORACLE_PYTHON: 3.6 to 3.9)
#   make clean     remove what was built;  make distclean removes the environment too

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
ARM_CC ?= arm-linux-gnueabihf-gcc
ORACLE_PYTHON ?= python3.9
MODEL  ?= examples/digits/out/digits_int8.demi
FUZZ_SECONDS ?= 120

export CC
# Nothing here minds being built side by side, except next to a removal.
MAKEFLAGS += $(if $(filter %clean,$(MAKECMDGOALS)),,--jobs=$(shell nproc))

.DELETE_ON_ERROR:
.PHONY: accuracy bench-rk3288 demo test test-all fuzz pytest lib host rk3288 lint format bench protos oracle clean distclean FORCE

demo: $(VENV)/.core lib
	@$(BIN)/python examples/digits/demo.py

# --- The Python side: one stamp file for each state of the environment ---------------------------

# The stamp is stale when its Python is gone (upgraded away) and when a Python is asked for by name.
ifneq ($(PYTHON)$(shell $(BIN)/python -c '' 2>/dev/null || echo gone),)
$(VENV)/.made: FORCE
endif
$(VENV)/.made:
	@.ci/venv $(VENV) $(PYTHON)
	@test -e $@ || touch $@

# The library is left to `make lib`, which compiles only what changed; no compiler is said at once.
$(VENV)/.core: $(VENV)/.made pyproject.toml setup.py | build/host/.compiler
	@echo "Installing demitasse and what it needs into $(VENV)"
	@DEMITASSE_NO_HOST_LIBRARY=1 $(PIP) install -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml setup.py | build/host/.compiler
	@echo "Installing demitasse and what its tests need into $(VENV)"
	@DEMITASSE_NO_HOST_LIBRARY=1 $(PIP) install -e '.[dev]'
	@touch $(VENV)/.core $@

# --- The C side: the same sources for the host and for the board ---------------------------------

# Every kernel folder is compiled for every target: a file for one instruction set is empty elsewhere.
SOURCES  := $(wildcard runtime_c/src/*.c runtime_c/kernels/*/*.c)
PROGRAMS := dmt_run dmt_bench
LIBRARY  := runtime_c/python/libdemitasse_host.so
INCLUDES := -Iruntime_c/include -Iruntime_c/src
CPPFLAGS += $(INCLUDES) -MMD -MP
CFLAGS   := $(shell cat runtime_c/cflags.txt) -pthread

HOST_FLAGS := -fPIC
ARM_FLAGS  := -mcpu=cortex-a17 -mfpu=neon-vfpv4 -mfloat-abi=hard -Werror

HOST_OBJECTS := $(SOURCES:runtime_c/%.c=build/host/obj/%.o)
ARM_OBJECTS  := $(SOURCES:runtime_c/%.c=build/rk3288/obj/%.o)

lib: $(LIBRARY)
host: $(PROGRAMS:%=build/host/%)
rk3288: $(PROGRAMS:%=build/rk3288/%)

# Linked aside and renamed: a process that has the old library loaded keeps it whole.
$(LIBRARY): $(HOST_OBJECTS)
	@echo '  $@'
	@$(CC) -shared -pthread -o $@.new $^ -lm && mv $@.new $@

build/host/obj/%.o: runtime_c/%.c runtime_c/cflags.txt Makefile | build/host/.compiler
	@mkdir -p $(@D)
	@echo '  $(CC) $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(HOST_FLAGS) -c $< -o $@

build/rk3288/obj/%.o: runtime_c/%.c runtime_c/cflags.txt Makefile | build/rk3288/.compiler
	@mkdir -p $(@D)
	@echo '  $(ARM_CC) $<'
	@$(ARM_CC) $(CPPFLAGS) $(CFLAGS) $(ARM_FLAGS) -c $< -o $@

$(PROGRAMS:%=build/host/%): build/host/%: build/host/obj/programs/%.o $(HOST_OBJECTS)
	@echo '  $@'
	@$(CC) -pthread -o $@ $^ -lm

$(PROGRAMS:%=build/rk3288/%): build/rk3288/%: build/rk3288/obj/programs/%.o $(ARM_OBJECTS)
	@echo '  $@'
	@$(ARM_CC) -static -pthread -o $@ $^ -lm

build/host/.compiler: COMPILER = $(CC)
build/host/.compiler: PACKAGES = gcc libc6-dev
build/rk3288/.compiler: COMPILER = $(ARM_CC)
build/rk3288/.compiler: PACKAGES = gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
build/%/.compiler:
	@mkdir -p $(@D)
	@echo 'int main(void) { return 0; }' | $(COMPILER) -include stdint.h -x c -o $@.exe - 2>/dev/null || \
	    { echo "demitasse: $(COMPILER) cannot compile a C program; apt install $(PACKAGES)" >&2; exit 1; }
	@mv $@.exe $@

-include $(shell find build -name '*.d' 2>/dev/null)

# --- Tests and checks ----------------------------------------------------------------------------

test: MARKED = -m "not slow"
test test-all: $(VENV)/.dev lib host
	@.ci/arm-tools
	@if command -v $(ARM_CC) >/dev/null; then $(MAKE) --no-print-directory rk3288; fi
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(MARKED)

fuzz: $(VENV)/.dev
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n 2 tests/fuzz

PYTHON_FILES := setup.py demitasse converter protos quantizer runtime_c tools examples tests
C_FILES = $(shell find runtime_c examples -name '*.[ch]' -not -path '*/out/*')

lint: $(VENV)/.dev
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/mypy
	MYPYPATH=examples/networks $(BIN)/mypy examples/networks/*.py
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@$(CC) $(INCLUDES) $(CFLAGS) -Werror -fsyntax-only $(SOURCES)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)
	@$(BIN)/clang-format -i $(C_FILES)

accuracy: $(VENV)/.dev lib
	@PYTHONPATH=tests $(BIN)/python -m accuracy $(NETS) --keep docs/accuracy.md

bench: host
	build/host/dmt_bench $(MODEL) --loops 100 --profile

bench-rk3288: $(VENV)/.core lib host
	@if command -v $(ARM_CC) >/dev/null; then $(MAKE) --no-print-directory rk3288; fi
	@$(BIN)/python examples/networks/rk3288.py $(NETS) $(if $(PRECISIONS),--precisions $(PRECISIONS)) \
	    $(if $(NETS)$(PRECISIONS),,--keep docs/rk3288-speed.md)

protos: $(VENV)/.dev
	$(BIN)/python -m demitasse.protos.compile

oracle: build/oracle/.made
	build/oracle/bin/python tests/data/record.py
	build/oracle/bin/python tests/data/verdicts.py

build/oracle/.made:
	$(ORACLE_PYTHON) -m venv build/oracle
	build/oracle/bin/pip install -q kendryte-caffe 'numpy<2' 'protobuf<4'
	@touch $@

clean:
	rm -rf build dist *.egg-info $(LIBRARY) examples/*/out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
