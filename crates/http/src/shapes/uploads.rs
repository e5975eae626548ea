//! Files of payments as they are shown.

use caudal_domain::{Timestamp, UploadId};
use caudal_service::uploads::Upload;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Shown;

#[derive(Serialize, ToSchema)]
#[schema(as = Upload, example = json!({
    "id": "upl_01h455vb4pex5vsknk084sn02q", "object": "upload", "status": "processing",
    "format": "csv", "lines": 100000, "pending": 40000, "succeeded": 59990, "failed": 10,
    "created_at": "2026-01-31T09:30:00.000000Z", "updated_at": "2026-01-31T09:30:30.000000Z"
}))]
pub(crate) struct UploadShape<'a> {
    #[schema(value_type = String)]
    id: UploadId,
    object: &'static str,
    /// `receiving`, `processing`, `completed`, or `interrupted`: not received whole, nothing paid.
    status: &'a str,
    /// `csv` or `jsonl`.
    format: &'a str,
    lines: i64,
    /// Lines still to be paid.
    pending: i64,
    /// Lines of which a payment was made.
    succeeded: i64,
    failed: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a Upload> for UploadShape<'a> {
    fn from(upload: &'a Upload) -> Self {
        let Upload { id, lines, succeeded, failed, created_at, updated_at, .. } = *upload;
        Self {
            id,
            object: "upload",
            status: &upload.status,
            format: &upload.format,
            lines,
            pending: lines - succeeded - failed,
            succeeded,
            failed,
            created_at,
            updated_at,
        }
    }
}

impl Shown for UploadShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "status",
        "format",
        "lines",
        "pending",
        "succeeded",
        "failed",
        "created_at",
        "updated_at",
    ];
}
