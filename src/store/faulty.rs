//! The accidents that may happen to a Redis command, told as the real ones are.

use super::link::{self, Confirm, Link};
use super::names::Names;
use super::{Store, StoreError, script};
use crate::fault::{At, Carry, Deed, Faults, Firing};
use redis::{Arg, Cmd, Value};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Commands that are no scripts, by the name they are counted and matched under.
const PLAIN: [&str; 5] = ["exists", "pttl", "scan", "list", "info"];

/// Every name a rule's `command` may say.
pub fn commands() -> Vec<&'static str> {
    script::all().into_iter().map(|script| script.name).chain(PLAIN).collect()
}

/// By which way a command goes to Redis.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// With all others, to the server that serves its partition.
    Shared,
    /// To one of the servers that are written to.
    To(usize),
    /// On a connection of its own, on which replicas confirm what it promises.
    Confirmed(Confirm),
}

impl Way {
    async fn send(self, link: &Link, command: &Cmd) -> Result<Value, StoreError> {
        match self {
            Way::Shared => link.send(command).await,
            Way::To(shard) => link.send_to(shard, command).await,
            Way::Confirmed(confirm) => link.send_confirmed(command, &confirm).await,
        }
    }

    /// How long it may take in all.
    fn timeout(self, link: &Link) -> Duration {
        match self {
            Way::Shared | Way::To(_) => link.timeout(),
            Way::Confirmed(confirm) => link.timeout() + confirm.timeout,
        }
    }
}

impl Store {
    /// Sends a command that accidents may happen to. One that is held back for longer than anybody
    /// waits for it takes effect all the same, later: as on a network.
    pub(super) async fn send_faulty(
        &self,
        name: &'static str,
        command: &Cmd,
        way: Way,
    ) -> Result<Value, StoreError> {
        let deadline = Instant::now() + way.timeout(&self.link);
        let (link, faults, command) = (self.link.clone(), self.faults.clone(), command.clone());
        let names = self.names.clone();
        let sending = async move {
            let before = faults.to_command(At::RedisBefore, name);
            strike(&before, deadline).await?;
            forget(&before, &link, &names, &command).await?;
            if before.iter().any(|firing| firing.deed == Deed::Duplicate) {
                // Both are on their way before either is answered.
                let (_, second) =
                    tokio::join!(way.send(&link, &command), way.send(&link, &command));
                return back(&faults, name, second).await;
            }
            back(&faults, name, way.send(&link, &command).await).await
        };
        let sending = tokio::spawn(sending.on_same_behalf());
        match timeout_at(deadline, sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Lost("its task broke down".into())),
            Err(_) => Err(silence()),
        }
    }
}

/// What happens to a command before it takes effect; `Ok` when it may be sent.
async fn strike(firings: &[Firing], deadline: Instant) -> Result<(), StoreError> {
    for firing in firings {
        match &firing.deed {
            // It never arrives; should the rule go in time, it does.
            Deed::Lose => {
                timeout_at(deadline, firing.hold()).await.map_err(|_| silence())?;
            }
            _ => firing.hold().await,
        }
        match &firing.deed {
            Deed::Reset => {
                return Err(StoreError::Unreached(format!("refused (fault {})", firing.id())));
            }
            Deed::Error(word) => {
                return Err(StoreError::of_word(word, "an error response"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What happens to the answer of a command that took effect.
async fn back(
    faults: &Faults,
    name: &'static str,
    answer: Result<Value, StoreError>,
) -> Result<Value, StoreError> {
    let value = answer?;
    let firings = faults.to_command(At::RedisAfter, name);
    for firing in &firings {
        firing.hold().await;
        if firing.deed == Deed::Reset {
            return Err(StoreError::Lost(format!("reset (fault {})", firing.id())));
        }
    }
    Ok(value)
}

/// Where a rule says so, Redis is another server that never heard of the order a command is about:
/// record and lease are gone, and the mark that says which server it was.
async fn forget(
    firings: &[Firing],
    link: &Link,
    names: &Names,
    command: &Cmd,
) -> Result<(), StoreError> {
    let forgets = firings.iter().any(|firing| firing.deed == Deed::Forget);
    let Some(partition) = link::partition(command).filter(|_| forgets) else {
        return Ok(());
    };
    let mut lost = redis::cmd("DEL");
    lost.arg(names.history(partition));
    for word in command.args_iter() {
        if let Arg::Simple(name) = word
            && names.is_of_one(name)
        {
            lost.arg(name);
        }
    }
    link.send(&lost).await?;
    link.shift();
    Ok(())
}

fn silence() -> StoreError {
    StoreError::Lost("none in time".into())
}
