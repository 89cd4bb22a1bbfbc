namespace Millrace.Kafka.Records;

/// <summary>A codec needs a native library that this system does not have. The message says which, and how to get it.</summary>
public sealed class CodecUnavailableException(string message) : Exception(message);
