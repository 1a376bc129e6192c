//! A package apart, so that the tests in it are optimised while all others are quick to build.
