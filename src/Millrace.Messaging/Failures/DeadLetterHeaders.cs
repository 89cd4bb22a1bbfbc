namespace Millrace;

/// <summary>
/// The record headers that a dead letter has beside those of the original record, whose key and value it keeps. All are
/// text in UTF-8.
/// </summary>
public static class DeadLetterHeaders
{
    /// <summary>The endpoint that gave the message up.</summary>
    public const string Endpoint = "millrace-endpoint";

    /// <summary>The .NET type of the last failure.</summary>
    public const string ErrorType = "millrace-error-type";

    /// <summary>The last failure's message, cut to 2,000 characters.</summary>
    public const string ErrorMessage = "millrace-error-message";

    /// <summary>The last failure with its stack and inner failures, cut to 8,000 characters.</summary>
    public const string ErrorStack = "millrace-error-stack";

    /// <summary>How many attempts were made, in decimal digits.</summary>
    public const string Attempts = "millrace-attempts";

    /// <summary>When the first attempt failed: ISO 8601, UTC.</summary>
    public const string FirstFailure = "millrace-first-failure";

    /// <summary>When the last attempt failed: ISO 8601, UTC.</summary>
    public const string LastFailure = "millrace-last-failure";

    /// <summary>The topic of the original record.</summary>
    public const string OriginTopic = "millrace-origin-topic";

    /// <summary>The partition of the original record, in decimal digits.</summary>
    public const string OriginPartition = "millrace-origin-partition";

    /// <summary>The offset of the original record, in decimal digits.</summary>
    public const string OriginOffset = "millrace-origin-offset";

    internal static bool Contains(string header) => header is Endpoint or ErrorType or ErrorMessage or ErrorStack or Attempts
        or FirstFailure or LastFailure or OriginTopic or OriginPartition or OriginOffset;
}
