//! The HTTP table of the design, line by line, over the memory store: no sockets, so that a line is one call.

mod app;
mod bodies;
mod faults;
mod keys;
mod life;
mod shapes;
mod table;
