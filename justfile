# what to run, and how; `just --list` shows it

# everything that CI checks
check: fmt clippy test docs deny

# formatting
fmt:
    cargo fmt --check

# lints, all targets
clippy:
    cargo clippy --release --all-targets --locked -- -D warnings

# all tests
test:
    cargo test --release --locked

# the generated pages are what this build would generate
docs:
    cargo test --release --locked --test docs
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --locked

# licences, advisories and sources of dependencies (needs cargo-deny)
deny:
    cargo deny --log-level error check licenses bans sources

# writes the generated pages anew
generate:
    EFFATTN_WRITE_DOCS=1 cargo test --release --test docs

# what decoding takes on this machine, with the model in the binary
bench:
    cargo run --release --locked -- bench --suite quick

# makes a fixture anew from its reference, e.g. `just fixture led-windows` (Python with fixtures/requirements.txt)
fixture name:
    python fixtures/{{name}}/reference.py

# the products of the plain and AVX2 paths under valgrind
valgrind:
    KERNEL_CASES=8 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --error-exitcode=9 --fair-sched=yes" cargo test --release --locked --lib kernel::linear
