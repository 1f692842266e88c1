//! The codes of errors, by which programs tell them apart.

use serde::{Serialize, Serializer};

/// The code of an error. It decides the status of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is malformed, or asks for something that makes no sense.
    BadRequest,
    /// The path names no container.
    MissingContainer,
    /// The container belongs to no dev container.
    NotADevcontainer,
    /// The request has no token, or a wrong one.
    Unauthorized,
    /// The client may not use the daemon.
    Forbidden,
    /// Nothing may be done in the workspace folder.
    FolderNotAllowed,
    /// No route has the path.
    NotFound,
    /// No container has this id or name.
    ContainerNotFound,
    /// No dev container has this id or name.
    DevcontainerNotFound,
    /// The workspace folder that is to be listed does not exist.
    FolderNotFound,
    /// The workspace folder that is to be listed has no such configuration.
    ConfigNotFound,
    /// The route does not take the method.
    MethodNotAllowed,
    /// The client does not take the only form that there is.
    NotAcceptable,
    /// The request was not complete in time.
    RequestTimeout,
    /// Several ids of containers begin with these digits.
    AmbiguousContainer,
    /// An operation is running or queued.
    OperationInProgress,
    /// The workspace folder is not what was last listed.
    FolderChanged,
    /// There is no operation to cancel.
    NoOperation,
    /// The workspace folder that is to be listed has several configurations.
    SeveralConfigs,
    /// The dev container that is to be forgotten has a container.
    HasContainer,
    /// The dev container that is to be forgotten was not added by a client.
    DefinedElsewhere,
    /// The request body is too large.
    BodyTooLarge,
    /// The body has another type than JSON.
    UnsupportedMediaType,
    /// The request head is too large.
    HeadTooLarge,
    /// Containers could not be listed.
    ListingFailed,
    /// The operation failed, or could not be started.
    OperationFailed,
    /// A client cancelled the operation.
    OperationCancelled,
    /// The daemon ended before the operation did.
    OperationInterrupted,
    /// The transfer coding of the request is not known.
    CodingNotSupported,
    /// The daemon is stopping.
    Closing,
    /// A part of the daemon is missing.
    NotReady,
    /// The file system of the workspace folder does not answer.
    FolderSilent,
    /// As many operations are queued as may be.
    TooManyOperations,
    /// As many dev containers are added as may be.
    TooManyDevcontainers,
    /// As many connections are served as may be.
    TooManyConnections,
    /// As many streams are open as may be.
    TooManyStreams,
    /// The request has another version of HTTP.
    VersionNotSupported,
}

impl ErrorCode {
    /// Returns the status of the answer and the word on the wire.
    pub fn row(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "bad_request"),
            Self::MissingContainer => (400, "missing_container"),
            Self::NotADevcontainer => (400, "not_a_devcontainer"),
            Self::Unauthorized => (401, "unauthorized"),
            Self::Forbidden => (403, "forbidden"),
            Self::FolderNotAllowed => (403, "folder_not_allowed"),
            Self::NotFound => (404, "not_found"),
            Self::ContainerNotFound => (404, "container_not_found"),
            Self::DevcontainerNotFound => (404, "devcontainer_not_found"),
            Self::FolderNotFound => (404, "folder_not_found"),
            Self::ConfigNotFound => (404, "config_not_found"),
            Self::MethodNotAllowed => (405, "method_not_allowed"),
            Self::NotAcceptable => (406, "not_acceptable"),
            Self::RequestTimeout => (408, "request_timeout"),
            Self::AmbiguousContainer => (409, "ambiguous_container"),
            Self::OperationInProgress => (409, "operation_in_progress"),
            Self::FolderChanged => (409, "folder_changed"),
            Self::NoOperation => (409, "no_operation"),
            Self::SeveralConfigs => (409, "several_configs"),
            Self::HasContainer => (409, "has_container"),
            Self::DefinedElsewhere => (409, "defined_elsewhere"),
            Self::BodyTooLarge => (413, "body_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::HeadTooLarge => (431, "head_too_large"),
            Self::ListingFailed => (500, "listing_failed"),
            Self::OperationFailed => (500, "operation_failed"),
            Self::OperationCancelled => (500, "operation_cancelled"),
            Self::OperationInterrupted => (500, "operation_interrupted"),
            Self::CodingNotSupported => (501, "coding_not_supported"),
            Self::Closing => (503, "closing"),
            Self::NotReady => (503, "not_ready"),
            Self::FolderSilent => (503, "folder_silent"),
            Self::TooManyOperations => (503, "too_many_operations"),
            Self::TooManyDevcontainers => (503, "too_many_devcontainers"),
            Self::TooManyConnections => (503, "too_many_connections"),
            Self::TooManyStreams => (503, "too_many_streams"),
            Self::VersionNotSupported => (505, "version_not_supported"),
        }
    }

    /// All codes.
    pub const ALL: [Self; 37] = [
        Self::BadRequest,
        Self::MissingContainer,
        Self::NotADevcontainer,
        Self::Unauthorized,
        Self::Forbidden,
        Self::FolderNotAllowed,
        Self::NotFound,
        Self::ContainerNotFound,
        Self::DevcontainerNotFound,
        Self::FolderNotFound,
        Self::ConfigNotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::AmbiguousContainer,
        Self::OperationInProgress,
        Self::FolderChanged,
        Self::NoOperation,
        Self::SeveralConfigs,
        Self::HasContainer,
        Self::DefinedElsewhere,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::HeadTooLarge,
        Self::ListingFailed,
        Self::OperationFailed,
        Self::OperationCancelled,
        Self::OperationInterrupted,
        Self::CodingNotSupported,
        Self::Closing,
        Self::NotReady,
        Self::FolderSilent,
        Self::TooManyOperations,
        Self::TooManyDevcontainers,
        Self::TooManyConnections,
        Self::TooManyStreams,
        Self::VersionNotSupported,
    ];
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.row().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adding a variant without a place in `ALL` fails here: the last one counts them.
    #[test]
    fn every_code_is_listed_in_its_place() {
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index, "{code:?}");
        }
        assert_eq!(
            ErrorCode::ALL.len(),
            ErrorCode::VersionNotSupported as usize + 1
        );
    }
}
