# Packages. All that must hold is checked by `bash .ci/run`.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
TARGET := x86_64-unknown-linux-gnu
STATIC := target/$(TARGET)/release/patchgate

.PHONY: help static image

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' Makefile

static: ## a binary that needs no library
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release -p patchgate --target $(TARGET)

image: static ## an image of it, by docker or what is like it: make image DOCKER=podman
	$(or $(DOCKER),docker) build --tag patchgate:$(VERSION) --build-arg BINARY=$(STATIC) .
