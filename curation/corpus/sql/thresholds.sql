-- The thresholds that count: of each annotator and pattern that of the last calibration.
select annotator, pattern, threshold
from calibrations
qualify row_number() over (partition by annotator, pattern order by version desc) = 1
