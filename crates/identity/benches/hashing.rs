//! The most logins that the machine's cores could hash for, if they did nothing else: what
//! `caudal bench --workload login` is held against. `cargo bench -p caudal-identity`.

use caudal_domain::id::Chance;
use caudal_identity::{
    Password,
    passwords::{HashSettings, Hasher},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::runtime::Runtime;

struct Zeros;

impl Chance for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn hashing(criterion: &mut Criterion) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = HashSettings { threads: cores, ..HashSettings::for_cores(cores) };
    let runtime = Runtime::new().expect("a runtime");
    let hasher = Hasher::start(&settings, &Zeros).expect("a pool");
    let password = Password::parse("correct horse battery 9").expect("long enough");
    let verify = async || {
        let turn = hasher.place().expect("room").turn().await.expect("a turn");
        hasher.verify_nobody(turn, &password).await.expect("a hash");
    };
    let mut group = criterion.benchmark_group("Argon2id alone");
    group.throughput(Throughput::Elements(cores as u64));
    group.bench_function(format!("{cores} threads"), |bencher| {
        bencher.iter(|| runtime.block_on(join_all((0..cores).map(|_| verify()))));
    });
    group.finish();
}

criterion_group!(benches, hashing);
criterion_main!(benches);
