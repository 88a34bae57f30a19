# A thin front for Meson; `make demo` and `make test` are the two to know.
BUILD ?= build
STATE ?= .demo
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)
.PHONY: all setup tools demo test unit bench fuzz format lint install deb clean

all: setup
	@ninja -C $(BUILD)

setup: $(BUILD)/build.ninja

$(BUILD)/build.ninja: packages.txt
	@packaging/install-packages --without "Tests,Checks,Package,Measurements,Peers"
	@[ -f $@ ] || meson setup $(BUILD)
	@touch $@

# What only tests, checks and measurements need: a browser, a second compiler, load generators.
tools:
	@packaging/install-packages --without Peers

# Two tenants with real applications behind the gate, until Ctrl-C. With root rights (sudo) every
# process has its own uid; without, `build/masugata up --demo` runs with one.
demo: setup
	@ninja -C $(BUILD) programs
	@$(SUDO) $(BUILD)/masugata up --demo --dir $(STATE)

# Unit, fuzz-corpus, integration, control and browser tests; prints one line of counts.
test: tools all
	@tests/run $(BUILD)

unit: all
	@meson test -C $(BUILD) --suite unit --suite fuzz

bench: tools all
	@tests/bench/run $(BUILD)

fuzz: tools
	@tests/fuzz/run

format: tools
	@git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' 'examples/*.c' 'examples/*.h' 'tools/*.c' | xargs clang-format -i

lint: tools all
	@tests/lint $(BUILD)

install: all
	@$(SUDO) meson install -C $(BUILD)

deb:
	@packaging/build-deb

clean:
	@rm -rf $(BUILD) build-*
