namespace Millrace.Kafka.Protocol;

/// <summary>What precedes the body of every request.</summary>
/// <param name="Key">The API; may be one that is not known here.</param>
/// <param name="Version">The version of the API that the body is written in; may be one that is not known here.</param>
/// <param name="CorrelationId">Comes back with the response.</param>
/// <param name="ClientId">The client's name for itself, for logs and quotas.</param>
public readonly record struct RequestHeader(ApiKey Key, short Version, int CorrelationId, string? ClientId);
