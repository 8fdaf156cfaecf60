//! One connection: Socket.IO over Engine.IO over a WebSocket, with nothing in between.

use super::frames::{Decoder, Frame, encode};
use crate::house::Account;
use rustix::net::{RecvFlags, recv};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use test_kit::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Received at a time, by all connections into one place.
const BLOCK: usize = 256 * 1024;
/// A server that is busy with a crowd may let one wait long.
const ENTERS_WITHIN: Duration = PATIENCE.saturating_mul(8);

thread_local! {
    static BLOCKS: RefCell<Vec<u8>> = RefCell::new(vec![0; BLOCK]);
}

/// The end that sends.
pub(crate) struct Link {
    tcp: TcpStream,
    unsent: RefCell<Vec<u8>>,
}

/// The end that hears.
pub(crate) struct Reader {
    link: Rc<Link>,
    decoder: Decoder,
}

/// Connects and joins.
pub(crate) async fn enter(address: SocketAddr, account: &Account, presence: &str) -> (Rc<Link>, Reader) {
    let entered = timeout(ENTERS_WITHIN, async {
        let (link, mut reader) = open(address).await;
        link.send(&["40{\"token\":\"", &account.token, "\"}"]);
        reader.until("40").await;
        let (id, name) = (&account.id, &account.name);
        link.send(&[&format!(r#"42["join",{{"id":"{id}","username":"{name}","presence":"{presence}"}}]"#)]);
        reader.until("42[\"join_success\"").await;
        (link, reader)
    });
    entered.await.unwrap_or_else(|_| panic!("{} waits for join_success", account.name))
}

/// An Engine.IO session.
async fn open(address: SocketAddr) -> (Rc<Link>, Reader) {
    let mut tcp = TcpStream::connect(address).await.expect("a connection");
    tcp.set_nodelay(true).unwrap();
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let (mut heard, end) = (Vec::new(), b"\r\n\r\n");
    let body = loop {
        assert_ne!(tcp.read_buf(&mut heard).await.unwrap(), 0, "the upgrade is not answered");
        if let Some(at) = heard.windows(end.len()).position(|window| window == end) {
            break at + end.len();
        }
    };
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "no upgrade: {}", String::from_utf8_lossy(&heard));
    let link = Rc::new(Link { tcp, unsent: RefCell::default() });
    let mut reader = Reader { link: Rc::clone(&link), decoder: Decoder::default() };
    let mut opened = false;
    reader.decoder.feed(&heard[body..], &mut |frame| opened |= frame.text.starts_with(b"0{"));
    if !opened {
        reader.until("0{").await;
    }
    (link, reader)
}

impl Link {
    /// Sends a packet made of these parts. Order is kept, and nothing waits.
    pub(crate) fn send(self: &Rc<Self>, parts: &[&str]) {
        let mut unsent = self.unsent.borrow_mut();
        let is_waiting = !unsent.is_empty();
        encode(&mut unsent, parts);
        if !is_waiting && !self.try_flush(&mut unsent) {
            tokio::task::spawn_local(Rc::clone(self).flush());
        }
    }

    async fn flush(self: Rc<Self>) {
        while self.tcp.writable().await.is_ok() {
            if self.try_flush(&mut self.unsent.borrow_mut()) {
                return;
            }
        }
    }

    /// False: something is left.
    fn try_flush(&self, unsent: &mut Vec<u8>) -> bool {
        match self.tcp.try_write(unsent) {
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The reader sees the end and says so.
            Err(_) => unsent.clear(),
        }
        unsent.is_empty()
    }
}

impl Reader {
    /// Lets hear whatever comes, until the connection ends.
    pub(crate) async fn listen(mut self, mut hear: impl FnMut(Frame<'_>)) -> io::Error {
        loop {
            if let Err(error) = self.hear(&mut hear).await {
                return error;
            }
        }
    }

    /// Waits for the packet that begins so.
    async fn until(&mut self, start: &str) {
        let mut found = false;
        while !found {
            let heard = self.hear(&mut |frame| found |= frame.text.starts_with(start.as_bytes())).await;
            heard.unwrap_or_else(|error| panic!("{error} instead of {start}"));
        }
    }

    /// Waits until something is there, and takes all of it.
    async fn hear(&mut self, hear: &mut impl FnMut(Frame<'_>)) -> io::Result<()> {
        let link = Rc::clone(&self.link);
        let mut hear = |frame: Frame<'_>| match frame.text {
            b"2" => link.send(&["3"]),
            b"41" => panic!("the server sends a socket away"),
            [b'4', b'4', ..] => panic!("let in: {}", String::from_utf8_lossy(frame.text)),
            _ => hear(frame),
        };
        self.link.tcp.readable().await?;
        while BLOCKS.with_borrow_mut(|block| self.take(block, &mut hear))? {}
        Ok(())
    }

    /// True: there may be more.
    fn take(&mut self, block: &mut [u8], hear: &mut impl FnMut(Frame<'_>)) -> io::Result<bool> {
        let tcp = &self.link.tcp;
        let skippable = self.decoder.skippable();
        let taken = if skippable < block.len() {
            tcp.try_read(block).inspect(|count| self.decoder.feed(&block[..*count], hear))
        } else {
            // Linux throws it away where it is (`man 7 tcp`).
            tcp.try_io(Interest::READABLE, || Ok(recv(tcp, &mut *block, RecvFlags::TRUNC)?.1))
                .inspect(|count| self.decoder.skip(*count, hear))
        };
        match taken {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(count == block.len()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
