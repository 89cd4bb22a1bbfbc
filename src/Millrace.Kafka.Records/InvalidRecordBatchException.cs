namespace Millrace.Kafka.Records;

/// <summary>The bytes are not what a record batch, or its compression, may look like. The message says what is wrong and where.</summary>
public sealed class InvalidRecordBatchException : Exception
{
    public InvalidRecordBatchException(string message)
        : base(message)
    {
    }

    public InvalidRecordBatchException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Whether nothing else is wrong than that what is compressed has more bytes than the reader accepts.</summary>
    public bool IsTooLarge { get; init; }
}
