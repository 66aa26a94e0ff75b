//! One permission to run an order of unknown outcome again, counted once.
//!
//! The permission is written in Redis, and what it allows may be a second charge; so it is counted
//! also where the answer that it stands was lost. It is asked again, by the same name, until Redis
//! says; where it does not in time, the permission is taken to stand.

use super::GuardMetrics;
use super::attempt::STORE_AGAIN;
use crate::store::resolve::{Permission, Release};
use crate::store::{Store, StoreError};
use tokio::time::{Instant, sleep};

/// Redis has so many times as long as for one command: nobody's payment waits for this.
const PATIENCE: u32 = 3;

impl GuardMetrics {
    /// Writes a permission and counts it.
    ///
    /// # Errors
    /// When Redis does not say that it stands, nor that it does not. It is counted if it may.
    pub async fn permit(
        &self,
        store: &Store,
        permission: &Permission<'_>,
    ) -> Result<Release, StoreError> {
        let until = Instant::now() + store.timeout() * PATIENCE;
        let mut may_stand = false;
        loop {
            let error = match store.release(permission).await {
                Ok(release) => {
                    if release == Release::Released {
                        self.permitted_reruns.inc();
                    }
                    return Ok(release);
                }
                Err(error) => error,
            };
            may_stand |= error.may_have_happened();
            if !may_stand {
                return Err(error);
            }
            if Instant::now() >= until {
                tracing::warn!(
                    order = %permission.order.id, %error,
                    "whether an order may run again was not heard: it is counted as if it may"
                );
                self.permitted_reruns.inc();
                return Err(error);
            }
            sleep(STORE_AGAIN).await;
        }
    }
}
