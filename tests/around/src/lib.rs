//! Nothing: the tests are below `tests`.
