//! The data plane: from a request off the wire to the answer that goes back.
//!
//! The stack, from the outside in, and why each layer stands where it does:
//!
//! 1. `trace`: outermost, so that every answer is counted, refusals too.
//! 2. `faulty`: accidents to answers, below the count of them and above everything that answers.
//! 3. `problems`: turns problems into answers; above it nothing can fail any more.
//! 4. `screen`: what could be read in two ways is refused before anybody reads it.
//! 5. `front`: decides who answers: Onceward itself (`tokens`, `orders`), a protected route
//!    (`protected`), a callback route (`callback`), or the payment service without our doing (`pass`). A path that others may read
//!    in another way than we do (`readings`) must not lead to another order that way.

mod admit;
mod callback;
mod cancel;
mod faulty;
mod forward;
mod front;
mod identify;
mod orders;
mod pass;
mod prefer;
mod problems;
mod protected;
mod read_body;
mod readings;
mod screen;
mod tokens;
mod told;
pub mod trace;
mod trailers;

use crate::answer::problem::{Problem, Told};
use crate::fault::Faults;
use crate::guard::{BodyMemory, Guard, Places};
use crate::model::seal::Secrets;
use crate::payload::Payload;
use crate::route::{Route, Routes};
use arc_swap::ArcSwap;
use hyper::header::HeaderName;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
pub use told::Outcome;
use tower::{Service, ServiceBuilder};
use trace::HttpMetrics;

/// What the data plane needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path prefix of Onceward's own endpoints.
    pub prefix: String,
    /// Name of the replay marker.
    pub replay_header: HeaderName,
    /// How long a caller may take for a protected body, or between two pieces of another.
    pub body_timeout: Duration,
    /// How long the payment service may take to answer what is not protected.
    pub upstream_timeout: Duration,
    /// `host:port` of the payment service, for requests that name no host.
    pub upstream: String,
}

/// What the layers share, per thread.
pub struct Plane {
    /// What it needs to know.
    pub config: Config,
    /// The routes in force.
    pub routes: Arc<ArcSwap<Routes>>,
    /// Keys fingerprints are made with.
    pub secrets: Arc<Secrets>,
    /// The thread's guard.
    pub guard: Arc<Guard>,
    /// Places for protected requests, of the whole process.
    pub places: Arc<Places>,
    /// Memory for bodies, of the whole process.
    pub memory: Arc<BodyMemory>,
    /// What is counted.
    pub metrics: HttpMetrics,
    /// Accidents on demand.
    pub faults: Faults,
    /// Cancelled once no new requests are taken: what merely waits should not be waited for.
    pub stop: CancellationToken,
}

/// What is known of the connection a request came on.
pub use crate::serve::Connection as Peer;

use crate::serve::Arrived;

/// What a caller gets.
struct Answered {
    response: Response<Payload>,
    /// What it counts as; nothing where an accident befell its request first.
    told: Option<Told>,
}

impl Answered {
    /// An answer on a route.
    fn on(route: &Route, outcome: Outcome, response: Response<Payload>) -> Answered {
        let told = Told { route: Some(route.name.clone()), outcome: outcome.word() };
        Answered { response, told: Some(told) }
    }
}

impl From<Problem> for Answered {
    fn from(problem: Problem) -> Answered {
        let told = Some(problem.told());
        Answered { response: problem.into_response(), told }
    }
}

/// A boxed future, as the layers return it.
type Answering<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Composes the stack: the data plane's service, cloned for every connection of its thread.
pub fn stack(
    plane: Arc<Plane>,
) -> impl Service<Request<Arrived>, Response = Response<Payload>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .layer(trace::TraceLayer::new(plane.metrics.clone(), plane.guard.tracer.clone()))
        .layer(faulty::FaultyLayer::new(plane.faults.clone()))
        .layer(problems::ProblemsLayer)
        .layer(screen::ScreenLayer)
        .service(front::Front::new(plane))
}
