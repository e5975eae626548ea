//! COMMITs whose answer is lost: a wire between store and PostgreSQL that breaks at that very
//! point. Whatever the store answers must be what the database did.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use caudal_store::{StoreError, wallets};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    fixtures::{Batch, commit, funded, pay, seconds, tenant, wallet},
    stage::{Stage, open},
};

/// Where the wire breaks, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// PostgreSQL never hears the COMMIT.
    Before,
    /// PostgreSQL has committed, and nobody hears of it.
    After,
}

type Planned = Arc<Mutex<Option<Cut>>>;

/// What PostgreSQL says last when no transaction is open.
const READY_AND_IDLE: &[u8] = b"Z\x00\x00\x00\x05I";

async fn wire(to: SocketAddr, planned: Planned) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            tokio::spawn(carry(near, far, planned.clone()));
        }
    });
    at
}

/// Both ways until one end closes, or the wire breaks.
async fn carry(mut near: TcpStream, mut far: TcpStream, planned: Planned) {
    let (mut said, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = near.read(&mut said) => {
                let Ok(1..) = read else { return };
                let said = &said[..read.unwrap()];
                let commits = said.windows(7).any(|bytes| bytes == b"commit\0");
                let cut = commits.then(|| planned.lock().unwrap().take()).flatten();
                match cut {
                    Some(Cut::Before) => return,
                    Some(Cut::After) => return hear_out(&mut far, said).await,
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
    let (server, url) = stage.postgres_url();
    let planned = Planned::default();
    let wire = wire(server, planned.clone()).await;
    let through = open(&url.replace(&server.to_string(), &wire.to_string())).await.unwrap();
    let mut lane = through.lane();
    for (time, cut, total) in [(2, None, 99), (3, Some(Cut::Before), 99), (4, Some(Cut::After), 98)]
    {
        *planned.lock().unwrap() = cut;
        let batch = Batch::of(tenant, seconds(time), vec![pay(a, b, 1)]);
        let answer = commit(stage, lane.as_mut(), batch).await;
        assert_eq!(*planned.lock().unwrap(), None, "{cut:?}: the wire did not break");
        match cut {
            Some(Cut::Before) => assert!(matches!(answer, Err(StoreError::Contention(_)))),
            _ => assert!(answer.unwrap().0[0].is_ok(), "{cut:?}"),
        }
        let payer = wallets::find(stage.store.as_ref(), tenant, a).await.unwrap().unwrap();
        assert_eq!(payer.account.total, total, "{cut:?}");
    }
}
