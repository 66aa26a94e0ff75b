//! Fault rules: put, listed, taken off.

use super::Admin;
use super::act::read_small;
use super::authorize::Asker;
use super::orders::bad;
use crate::answer;
use crate::answer::problem::{Name, Problem};
use crate::fault::{Board, MOST_RULES, Rule};
use crate::payload::Payload;
use crate::serve::Arrived;
use crate::store::faulty::commands;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

impl Admin {
    /// All rules: listed, or taken off.
    pub(super) fn all_faults(
        &self,
        asker: &Asker,
        request: &Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        let board = self.board()?;
        match *request.method() {
            Method::GET => Ok(answer::json(StatusCode::OK, &json!({"faults": board.list()}))),
            Method::DELETE => {
                board.clear();
                tracing::warn!(%asker, "all fault rules were taken off");
                Ok(nothing())
            }
            _ => Err(Problem::not_by_this_method("GET, DELETE", "All rules take GET and DELETE.")),
        }
    }

    /// One rule: put, or taken off.
    pub(super) async fn one_fault(
        &self,
        id: &str,
        asker: &Asker,
        request: Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        let board = self.board()?;
        match *request.method() {
            Method::PUT => {
                let put = put(board, id, request).await?;
                tracing::warn!(%asker, fault = id, "a fault rule was put");
                Ok(put)
            }
            Method::DELETE if board.remove(id) => {
                tracing::warn!(%asker, fault = id, "a fault rule was taken off");
                Ok(nothing())
            }
            Method::DELETE => Err(Problem::new(Name::NotFound, "No such rule.")),
            _ => Err(Problem::not_by_this_method("PUT, DELETE", "A rule takes PUT and DELETE.")),
        }
    }

    fn board(&self) -> Result<&Board, Problem> {
        self.faults.board().ok_or_else(|| {
            let detail = "Start the sidecar with ONCEWARD_FAULTS=on; never before real money.";
            Problem::new(Name::FaultsOff, detail)
        })
    }
}

async fn put(
    board: &Board,
    id: &str,
    request: Request<Arrived>,
) -> Result<Response<Payload>, Problem> {
    let body = read_small(request).await?;
    let document: Value =
        serde_json::from_slice(&body).map_err(|_| bad("rule: expected a JSON object."))?;
    let rule = Rule::read(id, &document).map_err(|error| bad(&error.to_string()))?;
    let known = commands();
    // A misspelt command would never meet its rule.
    if rule.command().is_some_and(|command| !known.contains(&command)) {
        return Err(bad(&format!("command: expected one of {}.", known.join(", "))));
    }
    match board.put(rule) {
        Some(replaced) => {
            let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
            let mut document = document;
            document["id"] = id.into();
            document["fired"] = 0.into();
            Ok(answer::json(status, &document))
        }
        None => Err(bad(&format!("rule: there are {MOST_RULES} rules already. Remove some."))),
    }
}

fn nothing() -> Response<Payload> {
    let mut response = Response::new(Payload::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
