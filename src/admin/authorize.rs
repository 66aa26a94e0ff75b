//! Who may see what stands under `/admin/`.

use super::Admin;
use crate::answer::problem::{Name, Problem};
use crate::serve::Connection;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

impl Admin {
    pub(super) fn authorize(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        let Some(expected) = &self.config.admin_token else {
            let peer = request.extensions().get::<Connection>();
            return match peer.is_some_and(|peer| peer.ip.to_canonical().is_loopback()) {
                true => Ok(()),
                false => {
                    Err(Problem::new(Name::Forbidden, "Set ONCEWARD_ADMIN_TOKEN to ask from afar."))
                }
            };
        };
        let presented = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim());
        // In constant time, so that nobody learns the token a letter at a time.
        match bool::from(presented.as_bytes().ct_eq(expected.as_bytes())) {
            true => Ok(()),
            false => Err(Problem::new(Name::Unauthorized, "Send Authorization: Bearer <token>.")),
        }
    }
}
