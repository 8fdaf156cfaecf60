//! How long a request may take before its client hears when to come back.

use super::request_id;
use crate::error::Error;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Everything but the body. Each wait for the database is bounded, but a request may wait more than once.
    work: Duration,
    /// A body that trickles in.
    body: Duration,
}

impl Allowance {
    /// So that every answer comes within three seconds.
    pub(super) const REST: Self = Self { work: Duration::from_millis(2500), body: Duration::from_secs(10) };
}

/// When a request must be answered; in the extensions of every request.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    due: watch::Sender<Due>,
    body: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// It is the client we wait for.
    for_body: bool,
}

impl Deadline {
    /// While the client takes its time for the body, we do not lose ours.
    pub(super) async fn excluding<T>(&self, body: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let due = self.due.send_replace(Due { at: begun + self.body, for_body: true });
        let result = body.await;
        self.due.send_replace(Due { at: due.at + begun.elapsed(), for_body: false });
        result
    }
}

/// Answers `unavailable` when the time is over. What was begun goes on to its end, which is near: every wait in it is
/// bounded, and whoever gave up a login in the middle would have to count it as a wrong password.
pub(super) async fn keep(
    State(Allowance { work, body }): State<Allowance>,
    mut request: Request,
    next: Next,
) -> Response {
    let (sender, mut due) = watch::channel(Due { at: Instant::now() + work, for_body: false });
    let deadline = Deadline { due: sender, body };
    request.extensions_mut().insert(deadline.clone());
    request_id::note_route(&request);
    let mut answer = Box::pin(next.run(request));
    let too_late = async {
        loop {
            let Due { at, for_body } = *due.borrow_and_update();
            tokio::select! {
                biased;
                // Only a change: `deadline` outlives the wait. First, lest a time that has been moved on counts as over.
                _ = due.changed() => {}
                () = tokio::time::sleep_until(at) => return for_body,
            }
        }
    };
    let for_body = tokio::select! {
        biased;
        response = &mut answer => return response,
        for_body = too_late => for_body,
    };
    drop(deadline);
    if !for_body {
        tracing::warn!("not answered in time");
        tokio::spawn(answer.in_current_span());
    }
    Error::unavailable().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use futures_util::stream;
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::sync::Arc;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    const SHORT: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_hours(1);
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A handler that takes the body, works until it may finish, and tells that it has.
    #[derive(Clone, Default)]
    struct Work {
        may_finish: Arc<Notify>,
        has_finished: Arc<Notify>,
    }

    impl Work {
        fn that_is_easy() -> Self {
            let work = Self::default();
            work.may_finish.notify_one();
            work
        }

        /// The status for a request whose body comes when this says.
        async fn serve(&self, allowance: Allowance, body: impl Future<Output = ()> + Send + 'static) -> u16 {
            let work = self.clone();
            let handler = async move |request: Request| {
                let deadline = request.extensions().get::<Deadline>().unwrap().clone();
                deadline.excluding(to_bytes(request.into_body(), 1024)).await.unwrap();
                work.may_finish.notified().await;
                work.has_finished.notify_one();
            };
            let router = Router::new().route("/", post(handler)).layer(from_fn_with_state(allowance, keep));
            let body = stream::once(async move {
                body.await;
                Ok::<_, Infallible>("{}")
            });
            let request = Request::post("/").body(Body::from_stream(body)).unwrap();
            let response = router.oneshot(request).await.unwrap();
            assert_eq!(response.status() == 503, response.headers().contains_key("retry-after"));
            response.status().as_u16()
        }
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_unavailable_and_done_all_the_same() {
        let work = Work::default();
        assert_eq!(work.serve(Allowance { work: SHORT, body: NEVER }, ready(())).await, 503);
        work.may_finish.notify_one();
        tokio::time::timeout(PATIENCE, work.has_finished.notified()).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_may_take_longer_than_the_work() {
        let allowance = Allowance { work: SHORT, body: NEVER };
        assert_eq!(Work::that_is_easy().serve(allowance, tokio::time::sleep(SHORT * 3)).await, 200);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let allowance = Allowance { work: NEVER, body: SHORT };
        assert_eq!(Work::that_is_easy().serve(allowance, pending()).await, 503);
    }
}
