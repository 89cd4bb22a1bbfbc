using System.Text.RegularExpressions;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>
/// ListTransactions (66), versions 0-2: the transactional ids that pass every filter: by state, by producer id, by how long a transaction is open (KIP-994), by a pattern of
/// the id (KIP-1152).
/// </summary>
internal sealed class ListTransactionsApi(BrokerServices services, TransactionCoordinator transactions) : Api<ListTransactionsRequest, ListTransactionsResponse>
{
    protected override ValueTask<ListTransactionsResponse?> HandleAsync(ListTransactionsRequest request, RequestContext context)
    {
        ListTransactionsResponse response = new();
        if (!TryRead(request.TransactionalIdPattern, out Regex? pattern))
        {
            response.ErrorCode = ErrorCode.InvalidRegularExpression;
            return new(response);
        }

        HashSet<TransactionStatus> states = [];
        foreach (string name in request.StateFilters)
        {
            // Numbers would pass for states, too, if they were only parsed.
            if (Enum.TryParse(name, out TransactionStatus state) && state.ToString() == name)
            {
                states.Add(state);
            }
            else
            {
                response.UnknownStateFilters.Add(name);
            }
        }

        long now = services.Time.GetUtcNow().ToUnixTimeMilliseconds();
        response.TransactionStates =
        [
            .. transactions.All()
                .Where(state => request.StateFilters.Count == 0 || states.Contains(state.Status))
                .Where(state => request.ProducerIdFilters.Count == 0 || request.ProducerIdFilters.Contains(state.Producer.Id))
                .Where(state => request.DurationFilter < 0 || IsOpenFor(state, request.DurationFilter, now))
                .Where(state => pattern?.IsMatch(state.TransactionalId) ?? true)
                .OrderBy(static state => state.TransactionalId, StringComparer.Ordinal)
                .Select(static state => new ListedTransaction
                {
                    TransactionalId = state.TransactionalId, ProducerId = state.Producer.Id, State = state.Status.ToString(),
                }),
        ];
        return new(response);
    }

    private static bool IsOpenFor(TransactionState state, long milliseconds, long now) =>
        state.StartTimestamp != TransactionState.NoTimestamp && now - state.StartTimestamp > milliseconds;

    /// <summary>The whole id has to match. Without backtracking, so that no pattern takes more than its time.</summary>
    private static bool TryRead(string? text, out Regex? pattern)
    {
        pattern = null;
        if (string.IsNullOrEmpty(text))
        {
            return true;
        }

        try
        {
            pattern = new Regex($@"\A(?:{text})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            return true;
        }
        catch (Exception fault) when (fault is ArgumentException or NotSupportedException)
        {
            return false;
        }
    }
}
