# A thin front for Meson. BUILD names the build directory.
BUILD ?= build
.PHONY: all demo test bench fuzz format lint install deb clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@packaging/install-packages
	@meson setup $(BUILD)

clean:
	rm -rf $(BUILD)
