//! A TCP proxy that fails as networks do.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What happens to the connections that exist; a new one always works.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Silent,
    Cut,
}

/// A proxy in front of one server at a time.
pub struct Proxy {
    port: u16,
    server: watch::Sender<SocketAddr>,
    fate: watch::Sender<Option<Fate>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy on a free port in front of the local `port`.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let own = listener.local_addr().expect("the proxy's port").port();
        let (server, target) = watch::channel(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let fate = watch::Sender::new(None);
        let accepting = tokio::spawn(accept(listener, target, fate.clone()));
        Self { port: own, server, fate, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The proxy's port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on the connections that exist swallow what is sent, as after a silent fail-over.
    pub fn silence(&self) {
        self.fate.send_replace(Some(Fate::Silent));
    }

    /// Ends the connections that exist.
    pub fn cut(&self) {
        self.fate.send_replace(Some(Fate::Cut));
    }

    /// New connections go to the local `port`; those that exist stay where they are.
    pub fn lead_to(&self, port: u16) {
        self.server.send_replace(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
}

async fn accept(listener: TcpListener, server: watch::Receiver<SocketAddr>, fate: watch::Sender<Option<Fate>>) {
    let mut pipes = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // A receiver of its own begins with what comes after it.
        pipes.spawn(pipe(client, *server.borrow(), fate.subscribe()));
    }
}

async fn pipe(mut client: TcpStream, server: SocketAddr, mut fate: watch::Receiver<Option<Fate>>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let silent = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        changed = fate.changed() => changed.is_ok() && matches!(*fate.borrow_and_update(), Some(Fate::Silent)),
    };
    if silent {
        let swallow = async {
            let mut swallowed = [0; 4_096];
            while client.read(&mut swallowed).await.is_ok_and(|length| length > 0) {}
        };
        tokio::select! {
            () = swallow => {}
            _ = fate.changed() => {}
        }
    }
    // The client may be gone already.
    drop(client.shutdown().await);
}
