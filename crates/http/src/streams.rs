//! Places for event streams: so many at once, and no tenant keeps the others out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use caudal_domain::TenantId;

/// Once half of the places are taken, a tenant with a quarter of them gets no more: half is always
/// left for others, as in the engine's queue.
pub(crate) struct Streams {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
}

/// Taken until dropped.
pub(crate) struct Place {
    streams: Arc<Streams>,
    tenant: TenantId,
}

impl Streams {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    pub fn enter(self: &Arc<Self>, tenant: TenantId) -> Option<Place> {
        let mut open = self.open();
        let of_tenant = open.by_tenant.get(&tenant).copied().unwrap_or_default();
        let greedy = of_tenant >= self.most / 4 && open.all >= self.most / 2;
        if open.all >= self.most || greedy {
            return None;
        }
        open.all += 1;
        *open.by_tenant.entry(tenant).or_default() += 1;
        Some(Place { streams: self.clone(), tenant })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.all -= 1;
        if let Some(count) = open.by_tenant.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_never_keeps_the_others_out() {
        let streams = Streams::new(8);
        let mut places = Vec::new();
        let mut enter = |tenant| streams.enter(TenantId(tenant)).map(|place| places.push(place));
        let first = (0..9).take_while(|_| enter(1).is_some()).count();
        let second = (0..9).take_while(|_| enter(2).is_some()).count();
        let third = (0..9).take_while(|_| enter(3).is_some()).count();
        assert_eq!((first, second, third), (4, 2, 2));
        assert!(enter(4).is_none(), "all places are taken");
        places.clear();
        assert!(streams.enter(TenantId(4)).is_some());
        assert!(streams.open().by_tenant.is_empty(), "nobody is remembered who left");
    }
}
