//! COMMITs whose answer is lost: a wire between store and PostgreSQL that breaks at that very
//! point. Whatever the store answers must be what the database did.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use caudal_store::{Store, StoreError, UnitOfWork, tenants, wallets};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    fixtures::{Batch, commit, funded, new_tenant, pay, seconds, tenant, wallet},
    stage::{START, Stage, open},
};

/// Where the wire breaks, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// PostgreSQL never hears the COMMIT.
    Before,
    /// PostgreSQL has committed, and nobody hears of it.
    After,
    /// PostgreSQL ends the connection before it reads on, says so, and is gone.
    Ended,
}

#[derive(Default)]
struct Wire {
    planned: Mutex<Option<Cut>>,
    /// Nobody is connected any more.
    is_gone: AtomicBool,
}

/// What PostgreSQL says last when no transaction is open.
const READY_AND_IDLE: &[u8] = b"Z\x00\x00\x00\x05I";
/// What it says when it is shut down.
const SHUT_DOWN: &[u8] = b"E\x00\x00\x00\x21SFATAL\0VFATAL\0C57P01\0Mgoing\0\0";

impl Wire {
    /// A store that reaches PostgreSQL through the wire.
    async fn open(stage: &Stage) -> (Store, Arc<Self>) {
        let wire = Arc::new(Self::default());
        let (server, url) = stage.postgres_url();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(wire.clone().lay(listener, server));
        let store = open(&url.replace(&server.to_string(), &at.to_string())).await.unwrap();
        (store, wire)
    }

    fn plan(&self, cut: Option<Cut>) {
        *self.planned.lock().unwrap() = cut;
    }

    #[track_caller]
    fn assert_broken(&self) {
        assert_eq!(*self.planned.lock().unwrap(), None, "the wire did not break");
    }

    async fn lay(self: Arc<Self>, listener: TcpListener, to: SocketAddr) {
        while let Ok((near, _)) = listener.accept().await {
            if !self.is_gone.load(Ordering::Relaxed) {
                let far = TcpStream::connect(to).await.unwrap();
                let wire = self.clone();
                tokio::spawn(async move { wire.carry(near, far).await });
            }
        }
    }

    /// Both ways until one end closes, or the wire breaks.
    async fn carry(&self, mut near: TcpStream, mut far: TcpStream) {
        let (mut said, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = near.read(&mut said) => {
                    let Ok(1..) = read else { return };
                    let said = &said[..read.unwrap()];
                    let commits = said.windows(7).any(|bytes| bytes == b"commit\0");
                    let cut = commits.then(|| self.planned.lock().unwrap().take()).flatten();
                    match cut {
                        Some(Cut::Before) => return,
                        Some(Cut::After) => return hear_out(&mut far, said).await,
                        Some(Cut::Ended) => {
                            self.is_gone.store(true, Ordering::Relaxed);
                            return near.write_all(SHUT_DOWN).await.unwrap();
                        }
                        None => far.write_all(said).await.unwrap(),
                    }
                }
                read = far.read(&mut answered) => {
                    let Ok(1..) = read else { return };
                    near.write_all(&answered[..read.unwrap()]).await.unwrap();
                }
            }
        }
    }
}

/// Passes on what was said and keeps the answer to itself.
async fn hear_out(far: &mut TcpStream, said: &[u8]) {
    far.write_all(said).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(READY_AND_IDLE) {
        assert_ne!(far.read_buf(&mut answer).await.unwrap(), 0, "PostgreSQL hung up");
    }
}

pub async fn answered_as_the_database_did(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let (through, wire) = Wire::open(stage).await;
    let mut lane = through.lane();
    for (time, cut, total) in [(2, None, 99), (3, Some(Cut::Before), 99), (4, Some(Cut::After), 98)]
    {
        wire.plan(cut);
        let batch = Batch::of(tenant, seconds(time), vec![pay(a, b, 1)]);
        let answer = commit(stage, lane.as_mut(), batch).await;
        wire.assert_broken();
        match cut {
            Some(Cut::Before) => assert!(matches!(answer, Err(StoreError::Contention(_)))),
            _ => assert!(answer.unwrap().0[0].is_ok(), "{cut:?}"),
        }
        let payer = wallets::find(stage.store.as_ref(), tenant, a).await.unwrap().unwrap();
        assert_eq!(payer.account.total, total, "{cut:?}");
    }
}

/// A server that says that it goes has not committed what it did not come to: nobody need ask,
/// nobody could.
pub async fn known_undone_where_the_server_says_that_it_goes(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let (through, wire) = Wire::open(stage).await;
    wire.plan(Some(Cut::Ended));
    let batch = Batch::of(tenant, seconds(2), vec![pay(a, b, 1)]);
    let answer = commit(stage, through.lane().as_mut(), batch).await;
    wire.assert_broken();
    assert!(matches!(answer, Err(StoreError::Contention(_))), "{answer:?}");

    let (through, wire) = Wire::open(stage).await;
    wire.plan(Some(Cut::Ended));
    let steps = vec![tenants::insert(&new_tenant(stage, "Acme"))];
    let unit = UnitOfWork { at: START, steps, ..UnitOfWork::default() };
    let answer = through.commit(unit).await;
    wire.assert_broken();
    assert!(matches!(answer, Err(StoreError::Contention(_))), "{answer:?}");
}
