//! Routes, limits, errors, OpenAPI, console page.
