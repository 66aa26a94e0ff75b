//! What the secrets do: keyed digests (fingerprints, ids) and sealed records.
//!
//! Promises: a digest fixes every part and where each part ends; a sealed record opens only under
//! the secret and the name it was sealed with, unaltered. The first secret writes and all of them
//! read, so secrets can be replaced while records live. Refuses to know what is digested or sealed,
//! and where secrets come from.

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Shortest secret, in bytes after trimming.
pub const MIN_LEN: usize = 16;

const ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Why a list of secrets is unusable. The messages count from 1 and never repeat a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadSecret {
    /// Nothing before, between or after commas.
    #[error("secret {0} is empty")]
    Empty(usize),
    /// Fewer than [`MIN_LEN`] bytes.
    #[error("secret {0} is shorter than {MIN_LEN} bytes")]
    Short(usize),
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotSeal {
    /// There is no secret to seal with.
    #[error("there is no secret to seal with")]
    NoSecret,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
    /// More than AES-GCM takes (64 GiB).
    #[error("too long to seal")]
    TooLong,
}

/// Why a record stays shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotOpen {
    /// Sealed with a secret that is not among these.
    #[error("sealed with a secret that is not configured")]
    UnknownSecret,
    /// Cut, altered, or sealed under another name.
    #[error("the sealed record is damaged or belongs elsewhere")]
    Damaged,
}

/// 32 bytes that stand for what was asked; shown as 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Letters it is shown as.
    pub const LETTERS: usize = 43;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Adds its letters to a text.
    pub fn write(&self, text: &mut String) {
        let mut letters = [0; Digest::LETTERS];
        // As many letters as there is room for, all of them ASCII.
        if URL_SAFE_NO_PAD.encode_slice(self.0, &mut letters).is_ok() {
            text.push_str(std::str::from_utf8(&letters).unwrap_or_default());
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The keys derived from the configured secrets; cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<[Derived]>);

/// HMAC states are kept keyed, so a digest costs no key schedule.
struct Derived {
    id: [u8; ID],
    fingerprint: Hmac<Sha256>,
    seal: Hmac<Sha256>,
}

impl Secrets {
    /// No secrets: digests are unkeyed and nothing is sealed.
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Reads comma-separated secrets; white space around each is dropped.
    ///
    /// # Errors
    /// [`BadSecret`] for the first one that is empty or shorter than [`MIN_LEN`] bytes.
    pub fn parse(list: &str) -> Result<Self, BadSecret> {
        let secrets = list.split(',').map(str::trim).zip(1..);
        let derived = secrets.map(|(secret, place)| match secret.len() {
            0 => Err(BadSecret::Empty(place)),
            1..MIN_LEN => Err(BadSecret::Short(place)),
            _ => Ok(Derived::from(secret)),
        });
        derived.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is a secret.
    pub fn is_keyed(&self) -> bool {
        !self.0.is_empty()
    }

    /// One digest of `parts` per secret, the writing one first; one unkeyed digest without secrets.
    /// `label` keeps digests made for different purposes apart.
    pub fn digests(&self, label: &str, parts: &[&[u8]]) -> impl Iterator<Item = Digest> {
        let unkeyed = || {
            let mut hash = Sha256::new();
            framed(label, parts, |bytes| hash.update(bytes));
            Digest(hash.finalize().into())
        };
        let keyed = move |secret: &Derived| {
            let mut mac = secret.fingerprint.clone();
            framed(label, parts, |bytes| mac.update(bytes));
            Digest(mac.finalize().into_bytes().into())
        };
        let unkeyed = (!self.is_keyed()).then(unkeyed);
        unkeyed.into_iter().chain(self.0.iter().map(keyed))
    }

    /// Seals `plain` with the writing secret: 4 bytes key id, 12 bytes random nonce, ciphertext,
    /// 16 bytes tag. `aad` names the record it belongs to.
    ///
    /// # Errors
    /// [`CannotSeal`] without secrets ([`Secrets::is_keyed`]) or without random bytes.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, CannotSeal> {
        let secret = self.0.first().ok_or(CannotSeal::NoSecret)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| CannotSeal::NoRandom)?;
        let mut sealed = Vec::with_capacity(ID + NONCE + plain.len() + TAG);
        sealed.extend_from_slice(&secret.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = secret
            .cipher(aad)
            .encrypt_inout_detached(&Nonce::from(nonce), aad, (&mut sealed[ID + NONCE..]).into())
            .map_err(|_| CannotSeal::TooLong)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`Secrets::seal`] made under the same `aad`.
    ///
    /// # Errors
    /// [`CannotOpen`] when its secret is not among these, or when it is not what was sealed.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let parts = sealed.split_first_chunk::<ID>().and_then(|(id, rest)| {
            let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
            let (cipher, tag) = rest.split_last_chunk::<TAG>()?;
            Some((id, Nonce::from(*nonce), cipher, Tag::from(*tag)))
        });
        let (id, nonce, cipher, tag) = parts.ok_or(CannotOpen::Damaged)?;
        let mut refused = CannotOpen::UnknownSecret;
        // Ids are short: two secrets may share one.
        for secret in self.0.iter().filter(|secret| secret.id == *id) {
            let mut plain = cipher.to_vec();
            let buffer = plain.as_mut_slice().into();
            let opened = secret.cipher(aad).decrypt_inout_detached(&nonce, aad, buffer, &tag);
            if opened.is_ok() {
                return Ok(plain);
            }
            refused = CannotOpen::Damaged;
        }
        Err(refused)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} hidden)", self.0.len())
    }
}

impl Derived {
    fn from(secret: &str) -> Self {
        let secret = keyed(secret.as_bytes());
        let mut id = [0; ID];
        id.copy_from_slice(&subkey(&secret, b"onceward seal id v1")[..ID]);
        Self {
            id,
            fingerprint: keyed(&subkey(&secret, b"onceward fingerprint v1")),
            seal: keyed(&subkey(&secret, b"onceward seal v1")),
        }
    }

    /// One key per record: a key with random nonces is good for 2^32 messages (NIST SP 800-38D,
    /// 8.3), which all replicas together would spend in weeks.
    fn cipher(&self, aad: &[u8]) -> Aes256Gcm {
        Aes256Gcm::new(&subkey(&self.seal, aad).into())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn subkey(key: &Hmac<Sha256>, purpose: &[u8]) -> [u8; 32] {
    key.clone().chain_update(purpose).finalize().into_bytes().into()
}

/// Every part behind its length, so that no byte moves from one part to the next unseen.
fn framed(label: &str, parts: &[&[u8]], mut update: impl FnMut(&[u8])) {
    for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
        update(&(part.len() as u64).to_le_bytes());
        update(part);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::model::noise;

    const OLD: &str = "an old secret 16";
    const NEW: &str = "a new secret that writes";

    fn secrets(list: &str) -> Secrets {
        Secrets::parse(list).unwrap()
    }

    fn writing(secrets: &Secrets, label: &str, parts: &[&[u8]]) -> Digest {
        secrets.digests(label, parts).next().unwrap()
    }

    fn check_secrets(list: &str, expect: Result<usize, BadSecret>) {
        assert_eq!(Secrets::parse(list).map(|secrets| secrets.0.len()), expect);
    }

    #[test]
    fn secrets_are_long_and_hidden() {
        check_secrets(OLD, Ok(1));
        check_secrets(&format!(" {OLD} ,\n{OLD}2\n"), Ok(2));
        check_secrets("密密密密密密", Ok(1));
        check_secrets("", Err(BadSecret::Empty(1)));
        check_secrets(&format!("{OLD},"), Err(BadSecret::Empty(2)));
        check_secrets(&format!("{OLD},  ,{OLD}"), Err(BadSecret::Empty(2)));
        check_secrets("fifteen bytes 5", Err(BadSecret::Short(1)));
        assert_eq!(format!("{:?}", secrets(OLD)), "Secrets(1 hidden)");
        assert!(secrets(OLD).is_keyed() && !Secrets::none().is_keyed());
    }

    #[test]
    fn a_digest_is_pinned_for_as_long_as_records_live() {
        // Computed with Python's hashlib and hmac.
        let check = |secrets: Secrets, expect| {
            let digest = writing(&secrets, "pay", &[b"POST", b"", b"{}"]);
            assert_eq!(digest.to_string(), expect);
        };
        check(Secrets::none(), "Ou84-I3IDokS2MRwc-xEPo60SjsdUhdga6XUBvEadw0");
        check(secrets(OLD), "WhJkfzqxA_mi6Ver2kCv5qbVieXbh9QoZsrVXg3yp0g");
    }

    #[test]
    fn every_part_and_its_end_count() {
        let inputs: [(&str, &[&[u8]]); 9] = [
            ("a", &[b"b", b"c"]),
            ("a", &[b"bc", b""]),
            ("a", &[b"", b"bc"]),
            ("a", &[b"bc"]),
            ("a", &[b"c", b"b"]),
            ("ab", &[b"c"]),
            ("b", &[b"b", b"c"]),
            ("a", &[]),
            ("a", &[b""]),
        ];
        for secrets in [Secrets::none(), secrets(OLD), secrets(NEW)] {
            let seen: Vec<_> = inputs.iter().map(|(l, p)| writing(&secrets, l, p)).collect();
            for (i, digest) in seen.iter().enumerate() {
                assert!(!seen[..i].contains(digest), "{:?}", inputs[i]);
            }
        }
    }

    #[test]
    fn the_first_secret_writes_and_all_read() {
        let one = writing(&secrets(OLD), "a", &[]);
        let both: Vec<_> = secrets(&format!("{NEW},{OLD}")).digests("a", &[]).collect();
        assert_eq!(both, [writing(&secrets(NEW), "a", &[]), one]);
        assert_eq!(secrets(OLD).digests("a", &[]).count(), 1);
        assert_eq!(Secrets::none().digests("a", &[]).count(), 1);
        assert_eq!(one.to_string().len(), 43);
        assert_eq!(one.as_bytes().len(), 32);

        let sealed = secrets(OLD).seal(b"pay/1", b"paid").unwrap();
        let replaced = secrets(&format!("{NEW},{OLD}"));
        assert_eq!(replaced.open(b"pay/1", &sealed).unwrap(), b"paid");
        let sealed = replaced.seal(b"pay/1", b"paid").unwrap();
        assert_eq!(secrets(NEW).open(b"pay/1", &sealed).unwrap(), b"paid");
        assert_eq!(secrets(OLD).open(b"pay/1", &sealed), Err(CannotOpen::UnknownSecret));
    }

    #[test]
    fn a_sealed_record_is_pinned_for_as_long_as_records_live() {
        // Made with Python's cryptography.
        let sealed =
            URL_SAFE_NO_PAD.decode("-IYBRQABAgMEBQYHCAkKCwJOO0SlYcgmQHgSfkPEClaTXpsu").unwrap();
        assert_eq!(secrets(OLD).open(b"pay/1", &sealed).unwrap(), b"paid");
    }

    #[test]
    fn sealing_hides_and_never_repeats() {
        let secrets = secrets(OLD);
        for plain in [&b""[..], b"paid", &[0; 100_000]] {
            let sealed = secrets.seal(b"a", plain).unwrap();
            assert_eq!(sealed.len(), ID + NONCE + plain.len() + TAG);
            assert_eq!(secrets.open(b"a", &sealed).unwrap(), plain);
            assert_ne!(secrets.seal(b"a", plain).unwrap(), sealed);
        }
        assert_eq!(Secrets::none().seal(b"a", b""), Err(CannotSeal::NoSecret));
    }

    #[test]
    fn an_altered_record_stays_shut() {
        let secrets = secrets(OLD);
        let sealed = secrets.seal(b"pay/1", b"paid").unwrap();
        assert_eq!(secrets.open(b"pay/2", &sealed), Err(CannotOpen::Damaged));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            let refused = match at {
                ..ID => CannotOpen::UnknownSecret,
                _ => CannotOpen::Damaged,
            };
            assert_eq!(secrets.open(b"pay/1", &altered), Err(refused), "byte {at}");
            assert!(secrets.open(b"pay/1", &sealed[..at]).is_err());
            assert!(secrets.open(b"pay/1", &sealed[at + 1..]).is_err());
        }
        let twin = Secrets::none();
        assert_eq!(twin.open(b"pay/1", &sealed), Err(CannotOpen::UnknownSecret));
        assert_eq!(twin.open(b"", b""), Err(CannotOpen::Damaged));
        noise::each(5_000, &noise::bytes(), |input| {
            let forged = [&sealed[..ID], input].concat();
            assert_eq!(secrets.open(b"pay/1", &forged), Err(CannotOpen::Damaged));
        });
    }
}
