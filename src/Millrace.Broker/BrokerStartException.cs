namespace Millrace.Broker;

/// <summary>Why a broker did not start.</summary>
public enum BrokerStartFailure
{
    /// <summary>A setting makes no sense.</summary>
    InvalidOptions,

    /// <summary>Another broker uses the data directory, it cannot be written, or its content is not ours to touch.</summary>
    DataDirectory,

    /// <summary>The address cannot be listened on: in use, not of this machine, or not permitted.</summary>
    Listen,

    /// <summary>A coordinator could not replay its state.</summary>
    Coordinator,
}

/// <summary>A broker did not start. The message is a sentence for a person: what, where, and what to do.</summary>
public sealed class BrokerStartException : Exception
{
    public BrokerStartException(BrokerStartFailure failure, string message, Exception? innerException = null)
        : base(message, innerException) => Failure = failure;

    public BrokerStartFailure Failure { get; }
}
