//! Redis beyond one plain node.

mod cluster;
mod history;
mod load;
mod login;
mod sent;
mod sentinel;
mod slots;
mod tls;
