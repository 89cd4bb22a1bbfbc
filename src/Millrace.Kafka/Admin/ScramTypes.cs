namespace Millrace.Kafka;

/// <summary>How a user proves that he knows his password.</summary>
public enum ScramMechanism : sbyte
{
    /// <summary>SCRAM-SHA-256.</summary>
    Sha256 = 1,

    /// <summary>SCRAM-SHA-512.</summary>
    Sha512 = 2,
}

/// <summary>A credential that a user has.</summary>
/// <param name="Mechanism">Its mechanism.</param>
/// <param name="Iterations">How often the password is hashed.</param>
public sealed record ScramCredential(ScramMechanism Mechanism, int Iterations);

/// <summary>What to do with a user's credential of one mechanism.</summary>
public sealed record ScramCredentialChange
{
    /// <summary>The fewest iterations that Kafka takes, as RFC 7677 recommends.</summary>
    public const int MinIterations = 4096;

    /// <summary>The most iterations that Kafka takes.</summary>
    public const int MaxIterations = 16_384;

    private ScramCredentialChange(string user, ScramMechanism mechanism, string? password, int iterations)
    {
        ArgumentException.ThrowIfNullOrEmpty(user);
        User = user;
        Mechanism = mechanism;
        Password = password;
        Iterations = iterations;
    }

    /// <summary>The user.</summary>
    public string User { get; }

    /// <summary>The mechanism.</summary>
    public ScramMechanism Mechanism { get; }

    /// <summary>How often the password is hashed.</summary>
    public int Iterations { get; }

    internal string? Password { get; }

    /// <summary>Gives a user a credential, instead of the one that he may have. The password is salted and hashed here, and does not travel.</summary>
    /// <param name="user">The user.</param>
    /// <param name="mechanism">The mechanism.</param>
    /// <param name="password">The password.</param>
    /// <param name="iterations">How often it is hashed. Default 4,096, as Kafka; at most 16,384.</param>
    public static ScramCredentialChange Set(string user, ScramMechanism mechanism, string password, int iterations = MinIterations)
    {
        ArgumentException.ThrowIfNullOrEmpty(password);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, MinIterations);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(iterations, MaxIterations);
        return new ScramCredentialChange(user, mechanism, password, iterations);
    }

    /// <summary>Takes a user's credential away.</summary>
    /// <param name="user">The user.</param>
    /// <param name="mechanism">The mechanism.</param>
    public static ScramCredentialChange Remove(string user, ScramMechanism mechanism) => new(user, mechanism, password: null, iterations: 0);

    /// <summary>Without the password.</summary>
    public override string ToString() => $"{(Password is null ? "remove" : "set")} {Mechanism} of user '{User}'";
}
