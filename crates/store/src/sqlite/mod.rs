//! Sqlite: under construction.
use crate::backend::Position;
use crate::*;
use async_trait::async_trait;
use caudal_domain::Timestamp;
pub struct Sqlite;
impl Sqlite {
    pub fn open(_s: &str) -> Result<Self, StoreError> {
        Ok(Self)
    }
}
fn no<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not yet".into()))
}
#[async_trait]
impl Backend for Sqlite {
    async fn query(
        &self,
        _t: &'static str,
        _s: &str,
        _p: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        no()
    }
    async fn commit(&self, _u: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError> {
        no()
    }
    fn lane(&self) -> Box<dyn Lane> {
        unreachable!()
    }
    async fn migrate(&self, _n: Timestamp) -> Result<Vec<String>, StoreError> {
        no()
    }
    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        no()
    }
    async fn create_partitions(&self, _n: Timestamp) -> Result<Vec<String>, StoreError> {
        no()
    }
    async fn retire_receipts(&self, _n: Timestamp) -> Result<(), StoreError> {
        no()
    }
    fn connections(&self) -> (usize, usize) {
        (0, 0)
    }
}
