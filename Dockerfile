# An image of the one binary: no shell, no package, no root. `make image` builds it.
FROM scratch
ARG BINARY=target/x86_64-unknown-linux-gnu/release/patchgate
COPY --chmod=0755 ${BINARY} /patchgate
USER 65532:65532
ENTRYPOINT ["/patchgate"]
