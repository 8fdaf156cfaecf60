//! The block of `docs/operations.md` that wants a live session and a live call works as it stands there. (`tests/deploy` runs the others.)

use super::{Desk, finish};
use crate::app::TestApp;
use test_kit::client::End;
use tokio::process::Command;

const PAGE: &str = include_str!("../../../docs/operations.md");

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_revoked_and_a_call_ended_by_the_commands_of_the_page() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (bob, carol) = tokio::join!(app.user("bob"), app.user("carol"));
    let call = bob.talk(&carol).await;
    app.until("select status = 'active' from calls").await;
    let phone = test_kit::Client::joined(&app, &app.log_in("bob").await).await;
    let newest = "select id::text from sessions order by created_at desc limit 1";
    let session = app.database.rows(newest).await[0]["id"].as_str().unwrap().to_owned();
    let (_, block) = PAGE.split_once("docs.rs has them, and runs it\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    assert_eq!(block.lines().count(), 2, "{block}");

    let program = std::path::Path::new(super::PROGRAM).parent().unwrap().display();
    let mut shell = Command::new("sh");
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let shell = desk.prepare(&mut shell).args(["-euc", block]).env("PATH", path);
    finish(shell.env("SESSION", session).env("CALL", call), "").await.ok();
    assert_eq!(carol.expect("call_ended").await["reason"], "hangup");
    assert_eq!(phone.ended().await, End::Disconnect);
}
