//! On a real Docker engine and the real devcontainer CLI, which `scripts/with-engine.sh` brings.

#[path = "../common/mod.rs"]
mod common;
