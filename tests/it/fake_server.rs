//! A server of somebody else's, played on a thread and a runtime of its own: a test that blocks does not stop it.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use tokio_util::sync::CancellationToken;

/// It runs until it is dropped.
pub struct FakeServer {
    pub address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// On a free port. `stop` is cancelled when it is dropped, for handlers that would go on.
    pub fn start(app: Router, stop: CancellationToken) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    () = stopped.cancelled() => {}
                }
            });
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}
