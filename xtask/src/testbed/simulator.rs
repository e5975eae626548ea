//! The simulator of payment gateways as a process of its own, so that it outlives the Caudal that
//! it serves.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::postgres::free_port;
use crate::process::without;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Killed when it is dropped.
pub struct Simulator {
    child: Child,
    address: SocketAddr,
}

impl Simulator {
    pub fn start(binary: &Path, latency_ms: u64) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(binary);
        // Nothing of the surrounding configuration is to change what is measured.
        without(&mut command, "CAUDAL_");
        command.args(["simulator", "--no-webhooks", "--addr", &address.to_string()]);
        command.args(["--latency-ms", &latency_ms.to_string()]);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let child = command.spawn().context("cannot run caudal simulator")?;
        let mut simulator = Self { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = simulator.child.try_wait()? {
                bail!("caudal simulator ended ({status})");
            }
            ensure!(started.elapsed() < START_LIMIT, "the simulator does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(simulator)
    }

    /// Tells a Caudal to take cards through it.
    pub fn variable(&self) -> (&'static str, String) {
        ("CAUDAL_SIMULATOR_URL", format!("http://{}", self.address))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
