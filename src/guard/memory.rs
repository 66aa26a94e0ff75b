//! Memory for bodies: so many bytes of large requests are held at once in the whole process, and no
//! more.
//!
//! What MAX_IN_FLIGHT bounds well enough is not counted: a body of up to [`SMALL`] bytes costs hardly
//! more than its request does otherwise. So a payment as it usually is asks for nothing here, and
//! those who hold all of it with large bodies keep no such payment out.

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a body that is not counted.
pub const SMALL: usize = 16 * 1024;

/// All of it.
#[derive(Debug)]
pub struct BodyMemory {
    held: AtomicUsize,
    most: usize,
    gauge: Gauge,
}

/// A part of it, given back when it is dropped: also by a caller who left, and by a task that broke
/// down.
#[derive(Debug)]
pub struct Portion {
    of: Arc<BodyMemory>,
    bytes: usize,
}

/// A body and the memory it lies in.
struct Counted {
    body: Bytes,
    _portion: Portion,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl BodyMemory {
    /// So many bytes.
    pub fn new(most: usize, registry: &mut Registry) -> BodyMemory {
        let gauge = Gauge::default();
        registry.register_with_unit(
            "body_memory",
            "Memory that large request bodies take, of BODY_MEMORY",
            Unit::Bytes,
            gauge.clone(),
        );
        BodyMemory { held: AtomicUsize::new(0), most, gauge }
    }

    /// Has a portion, or a new one, be enough for a body of so many bytes; whether there is room for
    /// them. For one that is alone there always is, or a route that takes larger ones than there is
    /// memory would take none.
    #[must_use]
    pub fn fits(self: &Arc<BodyMemory>, portion: &mut Option<Portion>, bytes: usize) -> bool {
        let new = || Portion { of: self.clone(), bytes: 0 };
        bytes <= SMALL || portion.get_or_insert_with(new).grown_to(bytes)
    }
}

impl Portion {
    fn grown_to(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        let more = bytes - self.bytes;
        let added = |held: usize| {
            let alone = held == self.bytes;
            (alone || held.saturating_add(more) <= self.of.most).then(|| held.saturating_add(more))
        };
        let fits = self.of.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok();
        if fits {
            self.bytes = bytes;
            self.of.gauge.inc_by(more as i64);
        }
        fits
    }

    /// The body it was taken for; given back with the last of its slices.
    pub fn with(self, body: Bytes) -> Bytes {
        Bytes::from_owner(Counted { body, _portion: self })
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
            self.of.gauge.dec_by(self.bytes as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4 * SMALL;

    fn memory() -> Arc<BodyMemory> {
        Arc::new(BodyMemory::new(MOST, &mut Registry::default()))
    }

    fn held(memory: &BodyMemory) -> usize {
        let held = memory.held.load(Ordering::Relaxed);
        assert_eq!(memory.gauge.get(), held as i64);
        held
    }

    #[test]
    fn there_is_never_more_than_so_much() {
        let memory = memory();
        let (mut one, mut two, mut three) = (None, None, None);
        assert!(memory.fits(&mut one, SMALL + 1) && memory.fits(&mut one, 2 * SMALL));
        assert!(memory.fits(&mut two, 2 * SMALL));
        assert_eq!(held(&memory), MOST);
        assert!(!memory.fits(&mut one, 2 * SMALL + 1) && !memory.fits(&mut three, SMALL + 1));
        assert!(memory.fits(&mut three, SMALL), "a small one is not counted");
        assert_eq!(held(&memory), MOST);
        drop(one);
        assert!(memory.fits(&mut two, MOST) && !memory.fits(&mut three, SMALL + 1));
        assert_eq!(held(&memory), MOST);
    }

    #[test]
    fn one_that_is_alone_always_fits() {
        let memory = memory();
        let (mut alone, mut other) = (None, None);
        assert!(memory.fits(&mut alone, MOST) && memory.fits(&mut alone, 10 * MOST));
        assert!(!memory.fits(&mut other, SMALL + 1));
        drop(alone);
        assert_eq!(held(&memory), 0);
    }

    #[test]
    fn a_body_gives_it_back_with_its_last_slice() {
        let memory = memory();
        let mut portion = None;
        assert!(memory.fits(&mut portion, 2 * SMALL));
        let body = portion.map(|portion| portion.with(Bytes::from(vec![7; 2 * SMALL])));
        let slice = body.as_ref().map(|body| body.slice(1..3));
        drop(body);
        assert_eq!((held(&memory), slice.as_deref()), (2 * SMALL, Some(&[7, 7][..])));
        drop(slice);
        assert_eq!(held(&memory), 0);
    }

    #[test]
    fn a_task_that_broke_down_gives_it_back() {
        let memory = memory();
        let its = memory.clone();
        let broke_down = std::panic::catch_unwind(move || {
            let mut portion = None;
            assert!(its.fits(&mut portion, 2 * SMALL));
            let _body = portion.map(|portion| portion.with(Bytes::from(vec![7; 2 * SMALL])));
            assert_eq!(held(&its), 0, "on purpose");
        });
        assert!(broke_down.is_err());
        assert_eq!(held(&memory), 0);
    }
}
