//! Redis beyond one plain node.

mod login;
mod tls;
