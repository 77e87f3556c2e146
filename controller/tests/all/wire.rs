//! A connection that a test can cut: a port that leads to another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Wire {
    port: u16,
    is_cut: Arc<AtomicBool>,
    /// Ends the connections that there are.
    cuts: watch::Sender<u32>,
}

impl Wire {
    /// Leads to `host:port`.
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_cut, cuts) = (Arc::new(AtomicBool::new(false)), watch::Sender::new(0));
        let wire = Self {
            port,
            is_cut: is_cut.clone(),
            cuts: cuts.clone(),
        };
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut cut) = (target.clone(), cuts.subscribe());
                if is_cut.load(Ordering::Acquire) {
                    continue;
                }
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                            _ = cut.changed() => {}
                        }
                    }
                });
            }
        });
        wire
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::Release);
    }
}
