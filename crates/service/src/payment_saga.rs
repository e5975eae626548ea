//! Payments through gateways.

use crate::{
    Asked, Done, Service, ServiceError,
    payments::{Making, Payment, PaymentFollow},
};

fn not_yet() -> ServiceError {
    ServiceError::Unavailable("payments through gateways are not served yet".into())
}

impl Service {
    pub(crate) async fn pay_through_gateway(
        &self,
        _: Asked<'_>,
        _: Making,
    ) -> Result<Done<Payment>, ServiceError> {
        Err(not_yet())
    }

    pub(crate) async fn follow_at_gateway(
        &self,
        _: Asked<'_>,
        _: &Payment,
        _: PaymentFollow,
    ) -> Result<Done<Payment>, ServiceError> {
        Err(not_yet())
    }

    pub(crate) async fn first_answer(&self, payment: Payment) -> Result<Payment, ServiceError> {
        Ok(payment)
    }
}
