# Packages. All that must hold is checked by `bash .ci/run`.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
TARGET := x86_64-unknown-linux-gnu
STATIC := target/$(TARGET)/release/patchgate

.PHONY: help static image deb

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' Makefile

static: ## a binary that needs no library
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release -p patchgate --target $(TARGET)

image: static ## an image of it, by docker or what is like it: make image DOCKER=podman
	$(or $(DOCKER),docker) build --tag patchgate:$(VERSION) --build-arg BINARY=$(STATIC) .

deb: static ## a Debian package below target, by cargo-deb (cargo install --locked cargo-deb@3.8.0)
	rm -rf target/pages
	mkdir -p target/pages/man1
	$(STATIC) man target/pages/man1
	$(STATIC) completions bash > target/pages/patchgate.bash
	$(STATIC) completions zsh > target/pages/_patchgate
	$(STATIC) completions fish > target/pages/patchgate.fish
	cargo deb --no-build --target $(TARGET) -p patchgate
