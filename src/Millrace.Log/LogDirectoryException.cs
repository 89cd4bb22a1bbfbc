namespace Millrace.Log;

/// <summary>Why a data directory cannot be used.</summary>
public enum LogDirectoryFailure
{
    Locked,
    NotWritable,

    /// <summary>There are files, but not ours.</summary>
    Foreign,
    UnsupportedVersion,

    /// <summary>A file that says how to treat the records cannot be read, and going on without it could lose some.</summary>
    Damaged,
}

/// <summary>A data directory cannot be used. The message says why and what to do.</summary>
public sealed class LogDirectoryException : Exception
{
    internal LogDirectoryException(LogDirectoryFailure failure, string message, Exception? inner = null)
        : base(message, inner) => Failure = failure;

    public LogDirectoryFailure Failure { get; }
}
