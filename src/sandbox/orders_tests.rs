#![allow(clippy::unwrap_used, reason = "a test may end in a panic")]

use super::*;

struct Desk {
    book: Book,
    folder: tempfile::TempDir,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, reading) = Ledger::open(&folder.path().join("ledger")).unwrap();
    Desk { book: Book::new(ledger, reading), folder }
}

impl Desk {
    fn charge(&mut self, id: &str) -> Result<Trade, Refusal> {
        self.book.charge(Kind::Charge, id, amount(), &Origin::default())
    }

    fn cancel(&mut self, id: &str) -> Status {
        self.book.cancel(id, &Origin::default()).unwrap()
    }

    fn refund(&mut self, id: &str) -> Trade {
        self.book.refund(id, "R", amount(), &Origin::default()).unwrap()
    }

    fn status(&self, id: &str) -> Status {
        self.book.find(id).unwrap().status
    }

    fn effects(&self, id: &str) -> (usize, usize) {
        let reading = super::super::ledger::read(&self.folder.path().join("ledger")).unwrap();
        (reading.charges(id), reading.refunds(id))
    }

    fn restarted(self) -> Self {
        let (ledger, reading) = Ledger::open(&self.folder.path().join("ledger")).unwrap();
        Self { book: Book::new(ledger, reading), folder: self.folder }
    }
}

fn amount() -> Amount {
    serde_json::json!(1).try_into().unwrap()
}

#[test]
fn a_payment_cancelled_while_paying_is_never_charged() {
    let mut desk = desk();
    desk.book.start_paying("A", amount()).unwrap();
    assert_eq!(desk.status("A"), Status::Waiting);
    assert_eq!(desk.cancel("A"), Status::Cancelled);
    assert!(desk.charge("A").is_err());
    assert!(desk.book.decline("A", amount()).is_err());
    assert_eq!(desk.status("A"), Status::Cancelled);
    assert_eq!(desk.effects("A"), (0, 0));
}

#[test]
fn the_shopper_pays_only_orders_nobody_else_touched() {
    let check = |touch: fn(&mut Desk, &str), charges| {
        let mut desk = desk();
        let id = desk.book.create(amount()).unwrap();
        touch(&mut desk, &id);
        desk.book.shopper_pays(&id).unwrap();
        desk.book.shopper_pays(&id).unwrap();
        assert_eq!(desk.effects(&id).0, charges);
    };
    check(|_, _| {}, 1);
    check(|desk, id| drop(desk.charge(id).unwrap()), 1);
    check(|desk, id| desk.book.start_paying(id, amount()).unwrap(), 0);
    check(|desk, id| desk.book.decline(id, amount()).unwrap(), 0);
    check(|desk, id| assert_eq!(desk.cancel(id), Status::Cancelled), 0);
}

#[test]
fn cancel_gives_back_every_charge_once() {
    let mut desk = desk();
    desk.charge("A").unwrap();
    desk.charge("A").unwrap();
    assert_eq!(desk.cancel("A"), Status::Refunded);
    assert_eq!(desk.cancel("A"), Status::Refunded);
    assert!(desk.charge("A").is_err());
    assert_eq!(desk.effects("A"), (2, 2));
}

#[test]
fn cancel_leaves_alone_what_a_refund_gave_back() {
    let mut desk = desk();
    let first = desk.charge("A").unwrap();
    let second = desk.charge("A").unwrap();
    assert_eq!(desk.refund("A").number, second.number);
    assert_eq!(desk.book.find("A").unwrap().standing[0].number, first.number);
    desk.cancel("A");
    assert_eq!(desk.effects("A"), (2, 2));
}

#[test]
fn a_refunded_order_is_charged_again_when_told_to() {
    let mut desk = desk();
    desk.charge("A").unwrap();
    desk.refund("A");
    desk.refund("A");
    desk.charge("A").unwrap();
    assert_eq!(desk.status("A"), Status::Paid);
    assert_eq!(desk.effects("A"), (2, 2));
}

#[test]
fn declining_does_not_undo_a_charge() {
    let mut desk = desk();
    desk.charge("A").unwrap();
    desk.book.decline("A", amount()).unwrap();
    assert_eq!(desk.status("A"), Status::Paid);
}

#[test]
fn early_failures_end_after_their_number() {
    let mut desk = desk();
    let fails = |desk: &mut Desk, times| desk.book.fails_early("A", times).unwrap();
    assert!(fails(&mut desk, Some(2)));
    assert!(fails(&mut desk, Some(2)));
    assert!(!fails(&mut desk, Some(2)));
    assert!(fails(&mut desk, None));
    assert!(desk.book.find("A").is_none());
}

#[test]
fn a_restart_rebuilds_what_moved_money() {
    let mut desk = desk();
    desk.charge("paid").unwrap();
    desk.charge("refunded").unwrap();
    desk.refund("refunded");
    desk.charge("reversed").unwrap();
    desk.cancel("reversed");
    desk.cancel("never paid");

    let mut desk = desk.restarted();
    assert_eq!(desk.status("paid"), Status::Paid);
    assert_eq!(desk.status("refunded"), Status::Refunded);
    assert_eq!(desk.status("reversed"), Status::Refunded);
    assert!(desk.book.find("never paid").is_none());
    assert!(desk.charge("reversed").is_err());
    assert_eq!(desk.cancel("reversed"), Status::Refunded);
    desk.cancel("refunded");
    assert_eq!(desk.effects("reversed"), (1, 1));
    assert_eq!(desk.effects("refunded"), (1, 1));
    desk.cancel("paid");
    assert_eq!(desk.effects("paid"), (1, 1));
}
