namespace Millrace;

/// <summary>The base of what Millrace's messaging throws.</summary>
public abstract class MillraceException : Exception
{
    private protected MillraceException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>Whether the same call may succeed later without a change to the program.</summary>
    public virtual bool IsTransient => false;
}

/// <summary>
/// The application is put together wrongly: two types with one name, a command with two handlers, an option out of
/// range. Thrown when the host starts, with every problem found, or at the first use of a message type that startup did
/// not know.
/// </summary>
public sealed class MillraceConfigurationException : MillraceException
{
    /// <summary>Reports what is wrong, where, and what to do.</summary>
    /// <param name="problems">One sentence or more for each problem.</param>
    public MillraceConfigurationException(IReadOnlyCollection<string> problems)
        : base(string.Join(Environment.NewLine, problems)) => Problems = problems;

    internal MillraceConfigurationException(string problem)
        : this([problem])
    {
    }

    /// <summary>What is wrong, where, and what to do: one entry a problem.</summary>
    public IReadOnlyCollection<string> Problems { get; }
}

/// <summary>The host starts, and no broker of its log answers.</summary>
public sealed class LogUnavailableException : MillraceException
{
    internal LogUnavailableException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}

/// <summary>A message was published while the host was not running.</summary>
public sealed class MillraceNotRunningException : MillraceException
{
    internal MillraceNotRunningException(string message)
        : base(message)
    {
    }
}

/// <summary>A command was sent that no endpoint of the application handles.</summary>
public sealed class CommandNotHandledException : MillraceException
{
    internal CommandNotHandledException(string message)
        : base(message)
    {
    }
}

/// <summary>A record cannot be turned into the message that a handler takes.</summary>
public sealed class UnreadableMessageException : MillraceException
{
    internal UnreadableMessageException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
