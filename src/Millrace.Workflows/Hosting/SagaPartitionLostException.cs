namespace Millrace;

/// <summary>A process works on a partition that another one has taken over.</summary>
internal sealed class SagaPartitionLostException(string message) : Exception(message);
