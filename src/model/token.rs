//! A token's text: 256 random bits, and whether it was issued for one order or for any.
//!
//! The text is seen once, by whoever fetched it; what is stored is its hash.

use super::identity::{Order, Partition};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;

/// The header that carries a token.
pub const HEADER: &str = "payment-token";

/// First byte of the text's 33: where its record is found. It gives nothing away that its holder
/// does not know.
const FOR_ORDER: u8 = 0;
const FOR_ANY: u8 = 1;

/// What a token may start.
#[derive(Clone, Debug)]
pub enum TokenFor {
    /// This order alone; kept in its partition.
    Order(Order),
    /// The first order that presents it; kept in a partition of its own.
    Any(Partition),
}

/// A token just made.
pub struct Token {
    text: String,
    hash: String,
    good_for: TokenFor,
}

impl Token {
    /// Draws a token for one order, or for any.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn draw(order: Option<Order>) -> Result<Token, getrandom::Error> {
        let mut bytes = [0; 33];
        getrandom::fill(&mut bytes[1..])?;
        bytes[0] = if order.is_some() { FOR_ORDER } else { FOR_ANY };
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let good_for = order.map_or(TokenFor::Any(Partition::of(&digest)), TokenFor::Order);
        Ok(Token { text, hash: URL_SAFE_NO_PAD.encode(digest), good_for })
    }

    /// What the caller is told, once.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is stored.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it may start.
    pub fn good_for(&self) -> &TokenFor {
        &self.good_for
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.hash)
    }
}

/// A token as somebody presents it; it may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The hash it would be stored under.
    pub hash: String,
    /// For a token good for any order: the partition it is kept in. `None` for one that was
    /// issued for an order, which is kept in that order's.
    pub kept_in: Option<Partition>,
}

impl Presented {
    /// Reads a presented token; `None` when no token looks like that.
    pub fn parse(text: &[u8]) -> Option<Presented> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let kept_in = match (bytes.len(), bytes.first()?) {
            (33, &FOR_ORDER) => None,
            (33, &FOR_ANY) => Some(Partition::of(&digest)),
            _ => return None,
        };
        Some(Presented { hash: URL_SAFE_NO_PAD.encode(digest), kept_in })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_presented_token_is_found_where_it_was_kept() {
        let token = Token::draw(None).unwrap();
        let presented = Presented::parse(token.text().as_bytes()).unwrap();
        assert_eq!(presented.hash, token.hash());
        assert!(matches!(token.good_for(), TokenFor::Any(p) if Some(*p) == presented.kept_in));
        assert_eq!(token.text().len(), 44);
        assert!(!format!("{token:?}").contains(token.text()));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "x", "????", &"A".repeat(43), &"A".repeat(45), &"_".repeat(44)] {
            assert_eq!(Presented::parse(text.as_bytes()), None, "{text}");
        }
    }
}
