using System.Text.RegularExpressions;

namespace Millrace.Interop.Tests.Programs;

/// <summary>A system call's begin or end, in the order in which strace saw them.</summary>
internal sealed record SystemCallEvent(string Name, bool IsEnd, string Text);

/// <summary>
/// Reads what <c>strace -f -yy -xx</c> writes. A call that another thread's call interrupts stands on two lines, which is what
/// makes begin and end events of their own:
/// <code>
/// 17 1.000001 fdatasync(5&lt;/data/t-0/0.log&gt; &lt;unfinished ...&gt;
/// 18 1.000002 sendto(9&lt;TCP:[...]&gt;, "\x00..."..., 60, 0, NULL, 0) = 60
/// 17 1.000900 &lt;... fdatasync resumed&gt;)            = 0
/// </code>
/// </summary>
internal static partial class SystemCallTrace
{
    public static IEnumerable<SystemCallEvent> Parse(IEnumerable<string> lines)
    {
        Dictionary<string, SystemCallEvent> unfinishedByThread = new(StringComparer.Ordinal);
        foreach (string line in lines)
        {
            Match match = Line().Match(line);
            if (!match.Success)
            {
                continue;
            }

            string thread = match.Groups["thread"].Value;
            string rest = match.Groups["rest"].Value;
            if (match.Groups["resumed"].Success)
            {
                if (unfinishedByThread.Remove(thread, out SystemCallEvent? begun))
                {
                    yield return begun with { IsEnd = true, Text = begun.Text + rest };
                }

                continue;
            }

            SystemCallEvent begin = new(match.Groups["name"].Value, IsEnd: false, rest);
            yield return begin;
            if (rest.EndsWith("<unfinished ...>", StringComparison.Ordinal))
            {
                unfinishedByThread[thread] = begin;
            }
            else
            {
                yield return begin with { IsEnd = true };
            }
        }
    }

    [GeneratedRegex(@"^(?<thread>\d+)\s+[\d.]+ (?:<\.\.\. (?<resumed>\w+) resumed>|(?<name>\w+)\()(?<rest>.*)$")]
    private static partial Regex Line();
}
