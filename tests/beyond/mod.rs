//! Redis beyond one plain node.

mod cluster;
mod load;
mod login;
mod sent;
mod sentinel;
mod slots;
mod tls;
