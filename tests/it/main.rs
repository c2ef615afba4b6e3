//! The black-box tests: one binary, every test with a stack of its own.

#[cfg(test)]
mod harness;
