using System.Text;

namespace Millrace.Kafka;

/// <summary>The client's half of one authentication: bytes in, bytes out. One use, one caller.</summary>
internal abstract class SaslClient(string mechanism)
{
    /// <summary>The mechanism's name on the wire.</summary>
    public string Mechanism { get; } = mechanism;

    /// <summary>Who logs in, for messages; null where the mechanism does not tell.</summary>
    public virtual string? User => null;

    /// <summary>What goes out first.</summary>
    public abstract byte[] Begin();

    /// <summary>What follows the broker's answer; null when the authentication is complete.</summary>
    /// <exception cref="SaslFaultException">The broker's answer is not one that the mechanism allows.</exception>
    public abstract byte[]? Next(ReadOnlySpan<byte> challenge);
}

/// <summary>An answer that ends the authentication. The message names no secret.</summary>
internal sealed class SaslFaultException(string message) : Exception(message);

/// <summary>PLAIN (RFC 4616): <c>NUL user NUL password</c>, without another identity to act as before the first.</summary>
internal sealed class PlainClient(string user, string password) : SaslClient("PLAIN")
{
    public override string User => user;

    public override byte[] Begin() => Encoding.UTF8.GetBytes($"\0{user}\0{password}");

    public override byte[]? Next(ReadOnlySpan<byte> challenge) => null;
}
