//! Many connections, and their readers.

use super::frames::Frame;
use super::link::{Link, Reader, enter};
use crate::house::Contestant;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use tokio::task::{AbortHandle, JoinSet};

/// How many knock at once.
const ENTERING: usize = 50;

/// Connections that are kept: none may end by itself.
#[derive(Default)]
pub(crate) struct Crowd {
    readers: JoinSet<io::Error>,
}

impl Crowd {
    /// Lets the users with these numbers join, and gives their links in that order. `ear` makes the ear of each.
    pub(crate) async fn fill<E: FnMut(Frame<'_>) + 'static>(
        &mut self,
        contestant: &Contestant,
        users: Range<usize>,
        presence: &'static str,
        ear: impl Fn(usize) -> E,
    ) -> Vec<Rc<Link>> {
        let (mut waiting, mut entering, mut links) = (users, JoinSet::new(), BTreeMap::new());
        loop {
            while entering.len() < ENTERING
                && let Some(number) = waiting.next()
            {
                let (address, account) = (contestant.address(), contestant.account(number));
                entering.spawn_local(async move { (number, enter(address, &account, presence).await) });
            }
            let Some(entered) = self.during(entering.join_next()).await else { break };
            let (number, (link, reader)) = entered.unwrap();
            links.insert(number, link);
            self.add(reader, ear(number));
        }
        links.into_values().collect()
    }

    /// Keeps a connection open; the handle ends it.
    pub(crate) fn add(&mut self, reader: Reader, ear: impl FnMut(Frame<'_>) + 'static) -> AbortHandle {
        self.readers.spawn_local(reader.listen(ear))
    }

    /// Waits for `work`, and panics if a connection ends or one of the ears does.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                ended = self.readers.join_next(), if !self.readers.is_empty() => match ended {
                    Some(Ok(error)) => panic!("a connection ends: {error}"),
                    Some(Err(ended)) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                    // Ended on purpose.
                    Some(Err(_)) | None => {}
                },
                done = &mut work => return done,
            }
        }
    }
}
